//! The command line under test.

use assert_cmd::Command;

/// `atrous`, with nothing set for it by the environment that the tests run in.
pub fn atrous() -> Command {
    let mut command = Command::cargo_bin("atrous").unwrap();
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ATROUS_") {
            command.env_remove(name);
        }
    }
    command
}
