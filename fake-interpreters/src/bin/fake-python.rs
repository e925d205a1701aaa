//! Stands where `python` stands; see the crate's documentation.

fn main() -> std::process::ExitCode {
    fake_interpreters::run::main()
}
