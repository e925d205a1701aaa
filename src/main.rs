//! The command line: see `plugin-conformance --help`.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    // In a bundle this very program stands at venv/bin/python: there it is the fake interpreter.
    if cli::invoked_as_python() {
        return fake_interpreters::run::main();
    }
    cli::main()
}
