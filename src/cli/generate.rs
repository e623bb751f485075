//! What packages install beside the program, made from the definition of the command line.

use clap::CommandFactory as _;

use super::args::Args;
use super::{Ending, output};

/// Prints completions for `shell`.
pub(super) fn completions(shell: clap_complete::Shell) -> Ending {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "lumbung", &mut text);
    output::bytes(&text);
    Ending::Done
}

/// Prints one manual page: the program's, followed by a section for each command.
pub(super) fn man() -> anyhow::Result<Ending> {
    output::bytes(&page()?);
    Ok(Ending::Done)
}

fn page() -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let program = Args::command().disable_help_subcommand(true);
    clap_mangen::Man::new(program.clone()).render(&mut text)?;
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = format!("lumbung {}", command.get_name());
        let heading = format!(".SH \"{}\"\n", name.to_uppercase());
        let man = clap_mangen::Man::new(command.clone().bin_name(name));
        text.extend_from_slice(heading.as_bytes());
        man.render_description_section(&mut text)?;
        man.render_options_section(&mut text)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_describes_every_command() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        for words in [".TH lumbung 1", ".SH \"LUMBUNG SERVE\"", "Examples:", "\\-\\-offline"] {
            assert!(page.contains(words), "{words:?} in {page}");
        }
        assert!(!page.contains("LUMBUNG COMPLETIONS"));
    }
}
