//! Lists of indexes of an Indexed Job: `1,3-5,7`.

use std::cmp::Ordering;

use object::quote;

/// The first and the last index of an interval.
type Interval = (i64, i64);

/// How many indexes a list has.
///
/// # Errors
/// What is wrong with it, in upstream's words.
pub(super) fn count(list: &str, completions: i64) -> Result<i64, String> {
    let (mut total, mut last) = (0, None);
    for text in list.split(',').filter(|_| !list.is_empty()) {
        let (first, end) = interval(text, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// An index that is in both lists. Intervals that are wrong are passed over.
pub(super) fn overlap(a: &str, b: &str, completions: i64) -> Option<i64> {
    let parse = |list: &str| -> Vec<Interval> {
        list.split(',').filter_map(|text| interval(text, completions).ok()).collect()
    };
    let (a, b) = (parse(a), parse(b));
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(first), Some(second)) = (a.peek(), b.peek()) {
        if first.0 <= second.1 && second.0 <= first.1 {
            return Some(first.0.max(second.0));
        }
        match first.0.cmp(&second.0) {
            Ordering::Less | Ordering::Equal => a.next(),
            Ordering::Greater => b.next(),
        };
    }
    None
}

fn interval(text: &str, completions: i64) -> Result<Interval, String> {
    let mut parts = text.split('-');
    let first = index(parts.next().unwrap_or_default(), completions)?;
    let Some(second) = parts.next() else { return Ok((first, first)) };
    if parts.next().is_some() {
        let text = quote(text);
        return Err(format!(
            "the fragment {text} violates the requirement that an index interval can have at most two parts separated by '-'"
        ));
    }
    let last = index(second, completions)?;
    if first >= last {
        return Err(format!("non-increasing order, previous: {first}, current: {last}"));
    }
    Ok((first, last))
}

fn index(text: &str, completions: i64) -> Result<i64, String> {
    match text.parse::<i64>() {
        Err(_) => Err(format!("cannot convert string to integer for index: {}", quote(text))),
        Ok(index) if index >= completions => Err(format!("too large index: {}", quote(text))),
        Ok(index) => Ok(index),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(count("", 5), Ok(0));
        assert_eq!(count("0,2-4", 5), Ok(4));
        assert_eq!(count("2,2", 5), Err("non-increasing order, previous: 2, current: 2".to_owned()));
        assert_eq!(count("3-1", 5), Err("non-increasing order, previous: 3, current: 1".to_owned()));
        assert_eq!(count("5", 5), Err(r#"too large index: "5""#.to_owned()));
        assert_eq!(count("x", 5), Err(r#"cannot convert string to integer for index: "x""#.to_owned()));
        assert!(count("1-2-3", 5).is_err());
        assert_eq!(overlap("0,2-4", "1,3", 9), Some(3));
        assert_eq!(overlap("0,2-4", "1,5-7", 9), None);
    }
}
