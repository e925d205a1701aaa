//! The script of a fake interpreter.

use std::path::Path;

use fake_interpreters::script::{Script, ScriptError, Step};

use super::text::names_a_line_of;

/// A script is refused with an error that names file and line, or it can be followed: it serves at
/// most once, and every hook that has steps is served.
pub fn check(data: &[u8]) {
    check_with(data, Script::parse);
}

/// As [`check`], of another parser.
pub fn check_with(data: &[u8], parse: impl Fn(&str, &Path) -> Result<Script, ScriptError>) {
    let text = String::from_utf8_lossy(data);
    let script = match parse(&text, Path::new("plugin.py")) {
        Ok(script) => script,
        Err(error) => return names_a_line_of(&error.to_string(), "plugin.py", &text),
    };
    let mut serves = script.life.iter().filter_map(|step| match step {
        Step::Serve(serve) => Some(serve),
        _ => None,
    });
    let first = serves.next();
    assert!(serves.next().is_none(), "`serve` stands twice");
    for (hook, steps) in &script.on.hooks {
        let served = first.is_some_and(|serve| serve.hooks.iter().any(|it| it.0.name == *hook));
        assert!(served || *hook == "Implemented", "{hook} has steps and is not served");
        assert!(!steps.iter().any(is_of_life), "{hook} serves, or waits");
    }
    let other = script.on.stop.iter().chain(&script.on.after_activate);
    assert!(!other.into_iter().any(is_of_life), "`stop` or `after_activate` serves, or waits");
}

/// Does this step belong into `life` alone?
fn is_of_life(step: &Step) -> bool {
    matches!(step, Step::Serve(_) | Step::Wait | Step::Handshake(_))
}
