//! What the plugin writes to stdout and stderr, as records.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::output::Level;

/// One line, or a piece of a line of more than 64 KiB.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRecord {
    /// The plugin's id.
    pub plugin_id: String,
    /// Where it was written.
    pub stream: Stream,
    /// The level that the line itself names; debug if it names none, info on stdout.
    pub level: Level,
    /// The text, without control characters.
    pub message: String,
    /// Further fields of a line that was a JSON object.
    pub fields: Map<String, Value>,
}

/// Where a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// After the handshake, `print` and the like.
    Stdout,
    /// The Python SDK's logs, tracebacks, and the supervisor's own remarks about them.
    Stderr,
    /// Nowhere: the server itself says something about the plugin.
    Server,
}

/// Takes the records of a plugin, in the order of each stream. Must not block.
pub type LogSink = Arc<dyn Fn(LogRecord) + Send + Sync>;

/// The sink that hands records to `tracing`, with target `plugin`.
pub fn tracing_sink() -> LogSink {
    macro_rules! emit {
        ($level:ident, $record:ident, $fields:ident) => {
            tracing::$level!(
                target: "plugin",
                plugin_id = $record.plugin_id,
                stream = ?$record.stream,
                fields = $fields,
                "{}",
                $record.message
            )
        };
    }
    Arc::new(|record| {
        let fields = (!record.fields.is_empty()).then(|| Value::from(record.fields.clone()));
        let fields = fields.map(|fields| fields.to_string());
        match record.level {
            Level::Trace => emit!(trace, record, fields),
            Level::Debug => emit!(debug, record, fields),
            Level::Info => emit!(info, record, fields),
            Level::Warn => emit!(warn, record, fields),
            Level::Error => emit!(error, record, fields),
        }
    })
}
