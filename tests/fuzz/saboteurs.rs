//! Every property can fail: readers with a fault made for it, which the search finds.

use std::cell::Cell;
use std::fs;
use std::path::Path;

use fake_interpreters::report::{Report, ReportError};
use fake_interpreters::script::{self, Step};
use plugin_conformance::api::mock::{MockFile, MockFileError};
use plugin_conformance::api::{AppError, app_error_of_status};
use plugin_conformance::conformance::{Coverage, CoverageError, KnownFailures};
use plugin_conformance::hooks::{ReplyRules, ServeHttpError};
use plugin_conformance::supervisor::{
    Handshake, HandshakeAddress, HandshakeError, Manifest, Script, StderrParser,
};
use plugin_proto::v1;

use super::search;
use crate::properties;
use crate::properties::stderr::Record;

/// The search finds the fault, and the property says `said` of it.
#[track_caller]
fn found(property: &str, said: &str, check: impl Fn(&[u8])) {
    // Less than the real ones get, and the least input does not matter.
    let fault = search(property, 0, check);
    let fault = fault.unwrap_or_else(|| panic!("{property}: nobody has noticed: {said}"));
    assert!(fault.said.contains(said), "{property}: found something else than {said}: {fault}");
}

#[test]
fn handshakes() {
    use properties::handshake::check_with;

    found("handshake", "Utf8Error", |line| {
        check_with(line, |line| Handshake::parse(std::str::from_utf8(line).unwrap().as_bytes()));
    });
    found("handshake", "gives another value", |line| {
        check_with(line, |line| {
            let mut handshake = Handshake::parse(line)?;
            if let HandshakeAddress::Tcp { port, .. } = &mut handshake.address {
                *port ^= 1;
            }
            Ok(handshake)
        });
    });
    found("handshake", "control characters", |line| {
        check_with(line, |text| {
            Handshake::parse(text).map_err(|error| match error {
                HandshakeError::Unrecognized { .. } => {
                    let line = String::from_utf8_lossy(text).into_owned();
                    HandshakeError::Unrecognized { line }
                }
                other => other,
            })
        });
    });
    found("handshake", "bytes", |line| {
        check_with(line, |line| Handshake::parse(&line[..line.len().min(60_000)]));
    });
}

#[test]
fn manifests() {
    use properties::manifest::check_with;

    found("manifest", "an id", |text| {
        check_with(text, |path, text| {
            let mut manifest = Manifest::parse(path, text)?;
            manifest.id = manifest.id.to_uppercase();
            Ok(manifest)
        });
    });
    found("manifest", "name of the file", |text| {
        check_with(text, |path, text| {
            let extension = path.extension().unwrap();
            Manifest::parse(&Path::new("manifest").with_extension(extension), text)
        });
    });
    found("manifest", "another than in the file", |text| {
        check_with(text, |path, text| {
            let mut manifest = Manifest::parse(path, text)?;
            manifest.id.push('x');
            Ok(manifest)
        });
    });
}

#[test]
fn known_failures() {
    use properties::known_failures::check_with;

    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    found("known_failures", "is text", |list| {
        check_with(list, |list, path| KnownFailures::parse(&text(list), path));
    });
    found("known_failures", "a line is lost", |list| {
        check_with(list, |list, path| {
            let text = text(list);
            let first = text.lines().next().unwrap_or_default();
            KnownFailures::parse_bytes(list, path)?;
            KnownFailures::parse(first, path)
        });
    });
    found("known_failures", "does not begin with the name of the file", |list| {
        check_with(list, |list, path| {
            KnownFailures::parse_bytes(list, path)
                .map_err(|_| KnownFailures::load(path).unwrap_err())
        });
    });
    found("known_failures", "another list", |list| {
        check_with(list, |list, path| {
            let text = text(list);
            KnownFailures::parse_bytes(list, path)?;
            KnownFailures::parse(&text.replace("  # ", "  # again "), path)
        });
    });
}

#[test]
fn script_paths() {
    use properties::script_path::check_with;

    let joined = |bundle: &Path, executable: &str| {
        let absolute = bundle.join(executable);
        match absolute.is_file() {
            true => Ok(Script { absolute, argument: executable.into() }),
            false => Script::resolve(bundle, executable),
        }
    };
    found("script_path", "outside", |path| check_with(path, joined));
    found("script_path", "leads outside", |path| {
        check_with(path, |bundle, executable| {
            let absolute = bundle.join(executable);
            match !executable.starts_with('/') && !executable.contains("..") && absolute.is_file() {
                true => Ok(Script { absolute, argument: format!("./{executable}").into() }),
                false => Script::resolve(bundle, executable),
            }
        });
    });
    found("script_path", "is an option", |path| {
        check_with(path, |bundle, executable| {
            let mut script = Script::resolve(bundle, executable)?;
            if let Ok(argument) = script.argument.strip_prefix("./") {
                script.argument = argument.into();
            }
            Ok(script)
        });
    });
    found("script_path", "is refused", |path| {
        check_with(path, |bundle, _| Script::resolve(bundle, "nowhere.py"));
    });
}

#[test]
fn scripts_of_interpreters() {
    use properties::interpreter_script::check_with;

    found("interpreter_script", "stands twice", |text| {
        check_with(text, |text, path| {
            let mut script = script::Script::parse(text, path)?;
            let serve = script.life.iter().find(|step| matches!(step, Step::Serve(_))).cloned();
            script.life.extend(serve);
            Ok(script)
        });
    });
    found("interpreter_script", "is not served", |text| {
        check_with(text, |text, path| {
            let mut script = script::Script::parse(text, path)?;
            script.life.retain(|step| !matches!(step, Step::Serve(_)));
            Ok(script)
        });
    });
    found("interpreter_script", "names the line", |text| {
        check_with(text, |text, path| {
            script::Script::parse(text, path).map_err(|_| script::ScriptError::Step {
                path: path.to_owned(),
                line: 0,
                problem: String::new(),
            })
        });
    });
}

#[test]
fn files_of_mocks() {
    use properties::mocks::check_with;

    found("mocks", "names the line", |text| {
        check_with(text, |text, path| {
            MockFile::parse(text, path).map_err(|error| match error {
                MockFileError::Content { path, problem, .. } => {
                    MockFileError::Content { path, line: 0, problem }
                }
                other => other,
            })
        });
    });
    found("mocks", "default", |text| {
        check_with(text, |text, path| {
            let first = text.lines().next().unwrap_or_default();
            let generated = "otherwise: generated\nmocks: []";
            MockFile::parse(text, path).and_then(|file| match first.starts_with("mocks:") {
                true => MockFile::parse(generated, path),
                false => Ok(file),
            })
        });
    });
}

#[test]
fn reports() {
    use properties::report::check_with;

    let parsed = |path: &Path| {
        serde_json::from_slice(&fs::read(path).unwrap())
            .map_err(|source| ReportError::Malformed { path: path.to_owned(), source })
    };
    found("report", "another schema", |text| check_with(text, parsed));
    found("report", "changes", |text| {
        check_with(text, |path| {
            let mut report = Report::read(path)?;
            report.pid /= 2;
            Ok(report)
        });
    });
    found("report", "names no file", |text| {
        check_with(text, |path| {
            Report::read(path).map_err(|_| ReportError::Missing("report.txt".into()))
        });
    });
}

#[test]
fn coverage_tables() {
    use properties::coverage::check_with;

    let parsed = |path: &Path| -> Result<Coverage, CoverageError> {
        serde_json::from_slice(&fs::read(path).unwrap())
            .map_err(|source| CoverageError::Parse { path: path.to_owned(), source })
    };
    found("coverage", "another schema", |text| check_with(text, parsed));
    found("coverage", "against itself", |text| {
        check_with(text, |path| parsed(path).map(|table| Coverage { schema: 1, ..table }));
    });
    found("coverage", "changes", |text| {
        check_with(text, |path| {
            let mut table = Coverage::read(path)?;
            table.rpcs.pop();
            Ok(table)
        });
    });
}

#[test]
fn messages() {
    use properties::messages::check_with;

    found("messages", "mattermost.pluginapi.v1.", |data| {
        check_with(data, |message, bytes| message.reencode(bytes).map(|_| bytes.to_vec()));
    });
    let first = Cell::new(false);
    found("messages", "encoded again", |data| {
        first.set(false);
        check_with(data, |message, bytes| {
            let bytes = message.reencode(bytes)?;
            first.set(!first.get());
            Ok(if first.get() { bytes } else { Vec::new() })
        });
    });
    found("messages", "index out of bounds", |data| {
        check_with(data, |message, bytes| {
            let _first = bytes[0];
            message.reencode(bytes)
        });
    });
}

#[test]
fn replies_to_serve_http() {
    use properties::serve_http::{Event, Seen, check_with};

    /// The supervisor's own rules, with these messages, and what was seen of it.
    fn read(method: &str, first: v1::ServeHttpResponse, events: &[Event]) -> Seen {
        let (status, headers, mut rules) = match ReplyRules::begin(method, first) {
            Ok(begun) => begun,
            Err(error) => {
                return Seen { head: Err(error), parts: vec![], failure: None, over: true };
            }
        };
        let mut seen = Seen {
            head: Ok((status.as_u16(), headers)),
            parts: vec![],
            failure: None,
            over: false,
        };
        for event in events {
            match event.clone() {
                Event::Message(message) => rules.message(message),
                Event::Close => rules.closed(),
                Event::Fail => rules.cut(ServeHttpError::Broken { reason: "the stream failed" }),
            }
        }
        while let Some(taken) = rules.take() {
            match taken {
                Ok(part) => seen.parts.push(part),
                Err(error) => seen.failure = Some(error),
            }
        }
        seen.over = rules.is_over();
        seen
    }
    let found = |said: &str,
                 change: fn(&mut v1::ServeHttpResponse, &mut Vec<Event>),
                 after: fn(&mut Seen)| {
        found("serve_http", said, |text| {
            check_with(text, |method, mut first, events| {
                let mut events = events.to_vec();
                change(&mut first, &mut events);
                let mut seen = read(method, first, &events);
                after(&mut seen);
                seen
            });
        });
    };
    // A status that is not looked at.
    found(
        "cannot be",
        |first, _| {
            first.init.iter_mut().for_each(|init| {
                init.status_code = match init.status_code {
                    0 => 0,
                    code => code.clamp(100, 999),
                }
            });
        },
        |_| (),
    );
    found(
        "is handed on",
        |_, _| (),
        |seen| {
            if let Ok((_, headers)) = &mut seen.head {
                headers.insert("transfer-encoding", http::HeaderValue::from_static("chunked"));
            }
        },
    );
    // A second init that is passed over.
    found(
        "the body has",
        |_, events| {
            for event in events {
                if let Event::Message(message) = event {
                    message.init = None;
                }
            }
        },
        |_| (),
    );
    // A failure that looks like an end.
    found("it fails with None", |_, _| (), |seen| seen.failure = None);
    // A length that is not held to.
    found(
        "the body has",
        |first, _| {
            if let Some(init) = &mut first.init {
                init.headers.retain(|field| !field.key.eq_ignore_ascii_case("content-length"));
            }
        },
        |_| (),
    );
    found("flushes", |_, _| (), |seen| seen.parts.iter_mut().for_each(|part| part.flush = false));
    found("the body has", |_, _| (), |seen| seen.parts.reverse());
    // What comes after the end is read.
    found(
        "the body has",
        |first, events| {
            let complete = std::mem::take(&mut first.body_complete);
            if complete {
                events.push(Event::Close);
            }
        },
        |_| (),
    );
}

#[test]
fn statuses() {
    use properties::status::check_with;

    found("status", "see different AppErrors", |data| {
        check_with(data, |status| {
            app_error_of_status(status).map(|error| AppError { params: None, ..error })
        });
    });
    found("status", "see different AppErrors", |data| {
        check_with(data, |status| app_error_of_status(status).or(Some(AppError::default())));
    });
    found("status", "no AppError", |data| {
        check_with(data, |status| Some(app_error_of_status(status).expect("no AppError")));
    });
}

#[test]
fn stderrs() {
    use properties::stderr::check_with;

    /// Every chunk as if it were the whole stream, and each line changed a little.
    fn read(chunks: &[&[u8]], change: impl Fn(&str) -> Option<String>) -> Vec<Record> {
        let whole = chunks.concat();
        let mut lines: Vec<_> = whole.split(|&byte| byte == b'\n').collect();
        lines.pop_if(|last| last.is_empty());
        let mut parser = StderrParser::new();
        let record = |line: &[u8]| {
            let bytes = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
            let parsed = parser.parse(&change(&String::from_utf8_lossy(&bytes))?);
            Some(Record { bytes, continued: false, parsed })
        };
        lines.into_iter().filter_map(record).collect()
    }
    found("stderr", "the cut into", |data| {
        check_with(data, |chunks| {
            let parts = chunks.iter().map(|chunk| read(&[*chunk], |line| Some(line.to_owned())));
            parts.flatten().collect()
        });
    });
    found("stderr", "begins in the middle", |data| {
        check_with(data, |chunks| {
            let mut records = read(chunks, |line| Some(line.to_owned()));
            records.iter_mut().take(1).for_each(|first| first.continued = true);
            records
        });
    });
    found("stderr", "has", |data| {
        check_with(data, |chunks| read(chunks, |line| (!line.is_empty()).then(|| line.to_owned())));
    });
    found("stderr", "is no end of the line", |data| {
        check_with(data, |chunks| read(chunks, |line| Some(line.replace("bad", "good"))));
    });
    found("stderr", "is lost of the line", |data| {
        check_with(data, |chunks| {
            let mut records = read(chunks, |line| Some(line.to_owned()));
            for record in &mut records {
                let message = &mut record.parsed.message;
                *message = message.trim_start_matches("boo").to_owned();
            }
            records
        });
    });
    found("stderr", "control characters", |data| {
        check_with(data, |chunks| {
            let mut records = read(chunks, |line| Some(line.to_owned()));
            for record in &mut records {
                record.parsed.message = record.parsed.message.replace("\\u{1b}", "\u{1b}");
            }
            records
        });
    });
}
