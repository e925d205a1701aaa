//! The program: its command line, and the interpreter that follows a script.

mod interpreter;
mod program;
mod scenario;

pub use program::main;
