use super::*;
use crate::zone;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next times after one, as that zone's clocks show them.
fn due(schedule: &str, zone_name: &str, after: &str, count: usize) -> Vec<String> {
    let (schedule, zone) = (Schedule::parse(schedule).unwrap(), zone(zone_name).unwrap());
    let mut at = time(after);
    let mut times = Vec::new();
    for _ in 0..count {
        at = schedule.next(at, &zone).unwrap();
        times.push(at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M%:z").to_string());
    }
    times
}

#[test]
fn fields_match_times() {
    for (schedule, after, expected) in [
        ("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01+00:00"),
        ("* * * * *", "2026-01-01T00:00:59.9Z", "2026-01-01T00:01+00:00"),
        ("*/15 * * * *", "2026-01-01T00:45:00Z", "2026-01-01T01:00+00:00"),
        ("5/20 * * * *", "2026-01-01T00:26:00Z", "2026-01-01T00:45+00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00+00:00"),
        ("59 23 31 dec *", "2026-12-31T23:59:00Z", "2027-12-31T23:59+00:00"),
        ("0 9 * * mon-fri", "2026-01-02T09:00:00Z", "2026-01-05T09:00+00:00"),
        // Either of the two, if both are limited.
        ("0 0 13 * fri", "2026-01-02T00:00:00Z", "2026-01-09T00:00+00:00"),
        ("0 0 13 * fri", "2026-01-09T00:00:00Z", "2026-01-13T00:00+00:00"),
        // Both, if one is any or a step from any. Only a step that is more than one limits.
        ("0 0 */1 * fri", "2026-01-02T00:00:00Z", "2026-01-09T00:00+00:00"),
        ("0 0 */10 * fri", "2026-01-02T00:00:00Z", "2026-01-09T00:00+00:00"),
        ("0 0 */10 * fri", "2026-01-09T00:00:00Z", "2026-01-11T00:00+00:00"),
        ("@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00+00:00"),
        ("@annually", "2026-03-01T00:00:00Z", "2027-01-01T00:00+00:00"),
        ("@monthly", "2026-01-01T00:00:00Z", "2026-02-01T00:00+00:00"),
        ("@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00+00:00"),
        ("@daily", "2026-01-01T00:00:00Z", "2026-01-02T00:00+00:00"),
        ("@midnight", "2026-01-01T23:59:59Z", "2026-01-02T00:00+00:00"),
        ("@hourly", "2026-01-01T00:30:00Z", "2026-01-01T01:00+00:00"),
    ] {
        assert_eq!(due(schedule, "UTC", after, 1), [expected], "{schedule} after {after}");
    }
}

#[test]
fn pauses_are_whole_seconds_and_at_least_one() {
    for (schedule, expected) in [
        ("@every 90m", "2026-01-01T01:30:00Z"),
        ("@every 1.9s", "2026-01-01T00:00:01Z"),
        ("@every 1ms", "2026-01-01T00:00:01Z"),
        ("@every -5s", "2026-01-01T00:00:01Z"),
    ] {
        let next = Schedule::parse(schedule).unwrap().next(time("2026-01-01T00:00:00.5Z"), &TimeZone::UTC);
        assert_eq!(next, Some(time(expected)), "{schedule}");
    }
}

#[test]
fn some_schedules_are_never_due() {
    let never = Schedule::parse("59 23 31 2 *").unwrap();
    assert_eq!(never.next(time("2026-01-01T00:00:00Z"), &TimeZone::UTC), None);
    assert_eq!(
        Schedule::parse(", * * * *").unwrap().next(time("2026-01-01T00:00:00Z"), &TimeZone::UTC),
        None
    );
}

#[test]
fn the_zone_of_the_text_comes_before_the_local_one() {
    let berlin = Schedule::parse("TZ=Europe/Berlin 0 0 * * *").unwrap();
    let tokyo = zone("Asia/Tokyo").unwrap();
    assert_eq!(berlin.next(time("2026-01-01T12:00:00Z"), &tokyo), Some(time("2026-01-01T23:00:00Z")));
    let local = Schedule::parse("CRON_TZ=Local 0 0 * * *").unwrap();
    assert_eq!(local.next(time("2026-01-01T12:00:00Z"), &tokyo), Some(time("2026-01-01T15:00:00Z")));
}

#[test]
fn times_that_do_not_exist_are_left_out() {
    // On 29 March 2026 Berlin's clocks go from 02:00 to 03:00.
    assert_eq!(
        due("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3),
        ["2026-03-28T02:30+01:00", "2026-03-30T02:30+02:00", "2026-03-31T02:30+02:00"]
    );
    assert_eq!(
        due("30 * * * *", "Europe/Berlin", "2026-03-28T23:45:00Z", 3),
        ["2026-03-29T01:30+01:00", "2026-03-29T03:30+02:00", "2026-03-29T04:30+02:00"]
    );
}

#[test]
fn times_that_exist_twice_are_due_twice() {
    // On 25 October 2026 Berlin's clocks go from 03:00 to 02:00.
    assert_eq!(
        due("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 3),
        ["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00", "2026-10-26T02:30+01:00"]
    );
    assert_eq!(
        due("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 4),
        [
            "2026-10-25T02:00+02:00",
            "2026-10-25T02:00+01:00",
            "2026-10-25T03:00+01:00",
            "2026-10-25T04:00+01:00"
        ]
    );
    // Where clocks go back by half an hour, hours are stepped over from half to half.
    assert_eq!(
        due("0 2 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", 2),
        ["2026-04-06T02:00+10:30", "2026-04-07T02:00+10:30"]
    );
}

#[test]
fn days_without_midnight_are_found() {
    // On 4 November 2018 São Paulo's clocks went from 00:00 to 01:00.
    assert_eq!(
        due("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 2),
        ["2018-11-05T00:00-02:00", "2018-11-06T00:00-02:00"]
    );
    assert_eq!(
        due("0 12 4,5 * *", "America/Sao_Paulo", "2018-11-01T12:00:00Z", 2),
        ["2018-11-04T12:00-02:00", "2018-11-05T12:00-02:00"]
    );
    // Samoa had no 30 December 2011.
    assert_eq!(due("0 0 31 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", 1), ["2011-12-31T00:00+14:00"]);
}

#[test]
fn a_year_of_days_is_a_year_of_times() {
    for name in ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Chatham"] {
        let (schedule, zone) = (Schedule::parse("15 12 * * *").unwrap(), zone(name).unwrap());
        let end = time("2027-01-01T00:00:00Z");
        let first = schedule.next(time("2026-01-01T00:00:00Z"), &zone);
        let times = std::iter::successors(first, |at| schedule.next(*at, &zone)).take_while(|at| *at < end);
        let times: Vec<_> = times.map(|at| at.to_zoned(zone.clone())).collect();
        assert_eq!(times.len(), 365, "{name}");
        assert!(times.iter().all(|at| (at.hour(), at.minute(), at.second()) == (12, 15, 0)), "{name}");
    }
}
