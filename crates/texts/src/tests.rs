use proptest::prelude::*;

use super::*;

/// A pod as it is stored; `kind` keeps the forms of different tests apart.
fn pod(kind: &str, number: usize) -> Vec<u8> {
    let time = format!("2026-01-01T00:00:{:02}Z", number % 60);
    let condition = |name: &str| format!(r#"{{"type":"{name}","status":"True","since":"{time}"}}"#);
    format!(
        r#"{{"kind":"Pod","{kind}":{{"name":"web-{number}","uid":"2b0b1e9c-{number:012}","created":"{time}"}},
        "spec":{{"priority":{},"containers":[{{"name":"web","image":"registry.example.com/web:1","tty":false}}]}},
        "status":{{"conditions":[{},{},{}],"note":"said \"{number}\" \\"}}}}"#,
        number % 3,
        condition("Initialized"),
        condition("Ready"),
        condition("PodScheduled"),
    )
    .into_bytes()
}

#[test]
fn texts_of_one_form_keep_what_is_different() {
    let texts: Vec<Text> = (0..100).map(|number| Text::compact(&pod("alike", number))).collect();
    assert_eq!(texts[0].own_len(), texts[0].len(), "nothing was like the first");
    assert_eq!(texts[1].own_len(), 0, "the second is the model");
    for (number, text) in texts.iter().enumerate() {
        let whole = pod("alike", number);
        assert_eq!((text.to_bytes(), text.len()), (whole.clone().into(), whole.len()));
        let same = Text::from(whole.clone());
        assert!(*text == whole && *text == same);
        assert!(number < 2 || text.own_len() < 100, "{}", text.own_len());
        for at in [0, 20, 40, 200, whole.len() - 1, whole.len()] {
            assert_eq!(text.byte(at), whole.get(at).copied());
        }
        assert!(text.chunks().all(|chunk| !chunk.is_empty()));
    }
    assert_ne!(texts[5], texts[6]);
    assert!(texts[5].is(&texts[5].clone()) && !texts[5].is(&texts[6]));
}

#[test]
fn a_time_that_is_everywhere_is_kept_once() {
    let text = |time: &str| format!(r#"{{"times":["{}"]}}"#, [time; 40].join("\",\"")).into_bytes();
    let texts: Vec<Text> = ["2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z", "2026-01-01T00:00:03Z"]
        .map(|time| Text::compact(&text(time)))
        .into();
    assert_eq!(texts[2].to_bytes(), text("2026-01-01T00:00:03Z"));
    assert!(texts[2].own_len() < 120, "{}", texts[2].own_len());
    // The beginning of an earlier value is another value.
    let longer = String::from_utf8(text("2026-01-01T00:00:04Z")).unwrap().replacen("04Z", "04ZZ", 3);
    assert_eq!(Text::compact(longer.as_bytes()).to_bytes(), longer);
}

#[test]
fn a_model_goes_with_the_last_text_that_needs_it() {
    let mut texts: Vec<Text> = (0..10).map(|number| Text::compact(&pod("passing", number))).collect();
    assert_eq!(models::count(&pod("passing", 0)), 1);
    texts.truncate(3);
    assert_eq!(texts[2].to_bytes(), pod("passing", 2));
    texts.truncate(1);
    assert_eq!(models::count(&pod("passing", 0)), 0);
}

/// Objects of one form may have other values throughout, as those of two Deployments have.
#[test]
fn a_form_has_some_models() {
    let text = |group: usize, number: usize| {
        let value = |at: usize| format!("\"the-value-{group}-{at}-{}\"", number * (at % 20 / 19));
        let values: Vec<String> = (0..40).map(value).collect();
        format!(r#"{{"groups":[{}]}}"#, values.join(",")).into_bytes()
    };
    let mut texts = Vec::new();
    for number in 0..20 {
        texts.extend((0..6).map(|group| (group, number, Text::compact(&text(group, number)))));
    }
    assert_eq!(models::count(&text(0, 0)), 4);
    for (group, number, kept) in &texts {
        assert_eq!(kept.to_bytes(), text(*group, *number));
    }
    let small = texts.iter().filter(|(_, _, kept)| kept.own_len() < 60).count();
    assert!(small >= 4 * 18, "{small} of {} are small", texts.len());
}

#[test]
fn short_texts_and_those_of_many_values_are_whole() {
    for text in ["", "{}", "x", &"[1,2],".repeat(200)] {
        let kept: Vec<Text> = (0..3).map(|_| Text::compact(text.as_bytes())).collect();
        assert!(kept.iter().all(|kept| kept.own_len() == text.len() && *kept == *text));
        assert_eq!(kept[0].is_empty(), text.is_empty());
    }
    assert_eq!(format!("{:?}", Text::from("secret")), "6 bytes");
}

#[test]
fn threads_may_share_and_drop_models_at_once() {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in (0..500).map(|number| number * 4 + thread) {
                    let kept = [number, number + 1].map(|number| Text::compact(&pod("threads", number)));
                    assert_eq!(kept[1].to_bytes(), pod("threads", number + 1));
                }
            });
        }
    });
}

proptest! {
    /// Whatever the bytes are, and however they resemble each other, they come back.
    #[test]
    fn any_bytes_come_back(
        form in proptest::collection::vec(prop_oneof![
            Just("\"".to_owned()), Just(":".to_owned()), Just(",".to_owned()), Just("{".to_owned()),
            Just("\\".to_owned()), Just("\"x\"".to_owned()), Just("-1".to_owned()), Just("true".to_owned()),
            "\\PC{0,40}",
        ], 60..200),
        values in proptest::collection::vec("[a-z0-9\\\\\"]{0,9}", 4),
    ) {
        let texts: Vec<String> = values.iter().map(|value| form.join(&format!("\"{value}\""))).collect();
        let kept: Vec<Text> = texts.iter().map(|text| Text::compact(text.as_bytes())).collect();
        for (text, kept) in texts.iter().zip(&kept) {
            prop_assert_eq!(&kept.to_bytes()[..], text.as_bytes());
            prop_assert_eq!(kept.len(), text.len());
        }
    }
}
