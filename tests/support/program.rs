//! The commands as an administrator types them.

use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::server::TestServer;

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The exit status, standard output, standard error.
    pub fn parts(self) -> (Option<i32>, String, String) {
        (self.code, self.stdout, self.stderr)
    }
}

/// A command, with nothing to read and without the log level of whoever runs the tests.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lumbung"));
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub async fn lumbung(arguments: &[&str]) -> Run {
    let mut command = program(arguments);
    let output = tokio::task::spawn_blocking(move || command.output());
    let Output { status, stdout, stderr } = output.await.expect("no panic").expect("the program");
    Run {
        code: status.code(),
        stdout: String::from_utf8(stdout).expect("UTF-8"),
        stderr: String::from_utf8(stderr).expect("UTF-8"),
    }
}

/// A file that configures a server's store and administrators' address for commands, in a folder of its own: they
/// ask the server while it runs, and open its store when it does not.
pub fn beside(server: &TestServer, fragment: &str) -> (TempDir, String) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("lumbung.toml");
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"{}\"\n[store]\npath = \"{}\"\nmin_free = \"0 B\"\n{fragment}",
        server.admin(),
        server.store().display()
    );
    std::fs::write(&file, text).expect("a file");
    (folder, file.display().to_string())
}
