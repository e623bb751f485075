//! Which machine, programs and day the figures belong to.

use std::process::Command;

/// One line of words.
pub fn describe() -> anyhow::Result<String> {
    let processors = std::fs::read_to_string("/proc/cpuinfo")?;
    let names: Vec<_> = processors.lines().filter(|line| line.starts_with("model name")).collect();
    let name =
        names.first().and_then(|line| line.split_once(": ")).map_or("unknown processor", |pair| pair.1);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let now = jiff::Timestamp::now().to_string();
    let date = now.split('T').next().unwrap_or_default();
    let programs = [
        version("nginx", "-v"),
        version("varnishd", "-V"),
        version("dpkg-query", "--showformat=apt-cacher-ng ${Version} --show apt-cacher-ng"),
        version("apt-cacher-rs", "--version"),
    ];
    let programs: Vec<_> = programs.into_iter().flatten().collect();
    Ok(format!(
        "{date}; {} × {name}, Linux {}; server on one CPU, clients and origin on another, loopback; {}",
        names.len(),
        kernel.trim(),
        programs.join(", ")
    ))
}

/// What a program calls itself, where it is installed.
fn version(program: &str, arguments: &str) -> Option<String> {
    // The first of several is a format with a blank in it.
    let arguments: Vec<_> = match arguments.split_once(" --show ") {
        Some((format, package)) => vec![format, "--show", package],
        None => vec![arguments],
    };
    let output = Command::new(program).args(arguments).output().ok()?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let line = said.lines().next()?.trim_start_matches("nginx version: ").trim_start_matches("varnishd (");
    Some(line.split(" revision").next()?.to_owned())
}
