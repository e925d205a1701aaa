//! How severe a line is.

/// How severe a line of a plugin's stderr is, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Finer than debug.
    Trace,
    /// For developers; also every line whose level is not known.
    Debug,
    /// The ordinary course of things.
    Info,
    /// Something to look at.
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    /// The level that a JSON log line names, in any case. Words for more than an error (`fatal`,
    /// `critical`, `panic`) are [`Level::Error`].
    pub(super) fn from_json(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "trace" => Some(Self::Trace),
            "debug" => Some(Self::Debug),
            "info" | "notice" => Some(Self::Info),
            "warn" | "warning" => Some(Self::Warn),
            "error" | "err" | "critical" | "fatal" | "panic" | "dpanic" => Some(Self::Error),
            _ => None,
        }
    }

    /// The level that a record of Python's logging names.
    pub(super) fn from_python(word: &str) -> Option<Self> {
        match word {
            "TRACE" => Some(Self::Trace),
            "DEBUG" => Some(Self::Debug),
            "INFO" => Some(Self::Info),
            "WARNING" | "WARN" => Some(Self::Warn),
            "ERROR" | "CRITICAL" | "FATAL" => Some(Self::Error),
            _ => None,
        }
    }

    /// The level and the rest of a line that begins with `[TRACE]`, `[DEBUG]`, `[INFO]`, `[WARN]`
    /// or `[ERROR]`.
    pub(super) fn split_tag(line: &str) -> Option<(Self, &str)> {
        let (word, rest) = line.strip_prefix('[')?.split_once(']')?;
        let level = match word {
            "TRACE" => Self::Trace,
            "DEBUG" => Self::Debug,
            "INFO" => Self::Info,
            "WARN" => Self::Warn,
            "ERROR" => Self::Error,
            _ => return None,
        };
        Some((level, rest.trim_start()))
    }
}

impl From<Level> for tracing::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::TRACE,
            Level::Debug => Self::DEBUG,
            Level::Info => Self::INFO,
            Level::Warn => Self::WARN,
            Level::Error => Self::ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_count_at_the_start_only() {
        assert_eq!(Level::split_tag("[WARN] x"), Some((Level::Warn, "x")));
        assert_eq!(Level::split_tag("[TRACE]x"), Some((Level::Trace, "x")));
        assert_eq!(Level::split_tag(" [WARN] x"), None);
        assert_eq!(Level::split_tag("[warn] x"), None);
        assert_eq!(Level::split_tag("[1, 2]"), None);
    }

    /// Every word, in both of its writings: one that is forgotten hides what went wrong.
    #[test]
    fn every_word_has_its_level() {
        let words = [
            (Level::Trace, "trace", "TRACE"),
            (Level::Debug, "debug", "DEBUG"),
            (Level::Info, "info notice", "INFO"),
            (Level::Warn, "warn warning", "WARN WARNING"),
            (Level::Error, "error err critical fatal panic dpanic", "ERROR CRITICAL FATAL"),
        ];
        for (level, json, python) in words {
            for word in json.split(' ') {
                assert_eq!(Level::from_json(word), Some(level), "{word}");
                assert_eq!(Level::from_json(&word.to_uppercase()), Some(level), "{word}");
            }
            for word in python.split(' ') {
                assert_eq!(Level::from_python(word), Some(level), "{word}");
                assert_eq!(Level::from_python(&word.to_lowercase()), None, "{word}");
            }
        }
        assert_eq!((Level::from_json("loud"), Level::from_python("NOTSET")), (None, None));
    }

    #[test]
    fn levels_rise() {
        assert!(Level::Trace < Level::Debug && Level::Warn < Level::Error);
    }
}
