//! The flags: additions from the config file, and their help.

use clap::CommandFactory;

use super::*;

/// The help of every command, one after the other.
const HELP: &str = include_str!("help.txt");

#[test]
fn a_config_file_names_flags() {
    let text = b"https-listen-port: 7443\ndisable-agent: true\ntls-san: [a, b]\ntoken: \"0123\"\n";
    // In the order of their names.
    let flags = flags_of(text, Path::new("f")).unwrap();
    let expected =
        ["--disable-agent", "--https-listen-port=7443", "--tls-san=a", "--tls-san=b", "--token=0123"];
    assert_eq!(flags, expected);
    // The features of the YAML parser are those that the program has.
    let noted = b"# all\ndisable-agent: true # none here\n# more\ntls-san: # names\n- a # one\n";
    assert_eq!(flags_of(noted, Path::new("f")).unwrap(), ["--disable-agent", "--tls-san=a"]);
    assert!(flags_of(b"node-ip: {a: b}", Path::new("f")).is_err());
}

#[test]
fn the_command_line_wins_over_the_file() {
    let arguments = ["ironhull", "server", "--https-listen-port=1", "--https-listen-port=2"];
    let Command::Server(flags) = Cli::parse_from(arguments).command else { panic!("no server") };
    assert_eq!(flags.https_listen_port, 2);
}

/// The help of a command and of all commands below it, including hidden ones.
fn help(command: &mut clap::Command, text: &mut String) {
    let name = command.get_bin_name().unwrap_or_default().to_owned();
    text.push_str(&format!("$ {name} --help\n"));
    for line in command.render_long_help().to_string().lines() {
        // Trailing spaces are invisible, and editors remove them.
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.push('\n');
    for below in command.get_subcommands_mut().filter(|below| below.get_name() != "help") {
        help(below, text);
    }
}

#[test]
fn help_is_as_it_was() {
    let mut command = Cli::command().bin_name("ironhull");
    command.build();
    let mut text = String::new();
    help(&mut command, &mut text);
    if std::env::var_os("IRONHULL_UPDATE_HELP").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/flags/help.txt");
        std::fs::write(path, &text).unwrap();
        return;
    }
    let differs = HELP.lines().zip(text.lines()).find(|(was, is)| was != is);
    assert!(
        HELP == text,
        "the help has changed, first here: {differs:#?}\nIf it shall, run this test with IRONHULL_UPDATE_HELP=1 and look at \
         the difference of src/flags/help.txt"
    );
}
