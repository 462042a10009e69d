use libtest_mimic::Trial;
pub const AGENT_ARGUMENT: &str = "agent";
pub fn agent(_args: impl Iterator<Item = std::ffi::OsString>) {
    std::process::exit(1)
}
pub fn trials() -> Vec<Trial> {
    vec![]
}
