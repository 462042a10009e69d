//! Waiting for conditions that cannot be watched.

use std::time::Duration;

use clock::Clock;

use crate::TestbedError;

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Polls until there is a result, and returns it. A poll without a result returns the observed state instead.
///
/// For processes, files and pages. For the API, `kubectl wait` is better.
///
/// # Errors
/// [`TestbedError::Late`] if the first look after `limit` still sees nothing.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> Result<T, TestbedError> {
    let clock = Clock::system();
    let start = clock.now();
    loop {
        let is_last = clock.now().duration_since(start).unsigned_abs() >= limit;
        match look() {
            Ok(seen) => return Ok(seen),
            Err(last) if is_last => {
                return Err(TestbedError::Late { what: what.to_owned(), limit, last });
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_look_is_told() {
        let mut left = 3;
        let mut look = || {
            left -= 1;
            if left == 0 { Ok("there") } else { Err(format!("{left} left")) }
        };
        assert_eq!(until("the thing", Duration::from_secs(9), &mut look).unwrap(), "there");
        let error = until("the thing", Duration::ZERO, look).unwrap_err().to_string();
        assert_eq!(error, "the thing: not within 0ns; last state: -1 left");
    }
}
