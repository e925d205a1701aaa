//! Chrome's trace-event format: a process per plugin, a thread per category.

use serde_json::{Value, json};

use super::TraceEvent;

/// The plugins so far; a plugin's process id is its place among them.
#[derive(Debug, Default)]
pub(super) struct Chrome {
    plugins: Vec<String>,
}

impl Chrome {
    /// What the file begins with. The format allows a list that has no end yet.
    pub(super) const HEAD: &str = "[\n";
    /// What the file ends with: an empty object, since a comma stands before it.
    pub(super) const TAIL: &str = "{}\n]\n";

    /// The event's text, names of a new process included.
    pub(super) fn event(&mut self, event: &TraceEvent) -> String {
        let mut text = String::new();
        let known = self.plugins.iter().position(|plugin| *plugin == event.plugin);
        let process = known.unwrap_or_else(|| {
            self.plugins.push(event.plugin.clone());
            let process = self.plugins.len() - 1;
            let name = if event.plugin.is_empty() { "plugin-conformance" } else { &event.plugin };
            text.push_str(&entry(&json!({
                "name": "process_name", "ph": "M", "pid": process, "args": { "name": name },
            })));
            process
        });
        let thread = event.category as usize;
        let word = event.category.word();
        let mut object = json!({
            "name": event.name,
            "cat": word,
            "ph": "i",
            "s": "t",
            "ts": event.at_us,
            "pid": process,
            "tid": thread,
            "args": { "outcome": event.outcome, "detail": event.detail },
        });
        if let (Some(duration), Value::Object(object)) = (event.duration_us, &mut object) {
            object.remove("s");
            object.insert("ph".to_owned(), "X".into());
            object.insert("dur".to_owned(), duration.into());
        }
        text.push_str(&entry(&object));
        text
    }
}

fn entry(object: &Value) -> String {
    format!("{object},\n")
}
