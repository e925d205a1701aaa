//! The first line of a plugin's stdout.

use plugin_conformance::supervisor::{
    APP_VERSION, CORE_VERSION, Handshake, HandshakeAddress, HandshakeError, MAX_LINE,
};

use super::text::is_unsafe;

/// Most characters of an error: some fields of the line, each shortened to 200, and our own words.
const LONGEST_ERROR: usize = 800;

/// The line is refused with a short and harmless text, or gives a value whose own line gives the
/// same value.
pub fn check(line: &[u8]) {
    check_with(line, Handshake::parse);
}

/// As [`check`], of another parser.
pub fn check_with(line: &[u8], parse: impl Fn(&[u8]) -> Result<Handshake, HandshakeError>) {
    let handshake = match parse(line) {
        Ok(handshake) => handshake,
        Err(error) => return refused(line, &error),
    };
    assert!(line.len() < MAX_LINE, "a line of {} bytes was taken", line.len());
    assert!(line.iter().filter(|&&byte| byte == b'|').count() >= 4, "four fields suffice");
    let versions = (handshake.core_version, handshake.app_version);
    assert_eq!(versions, (CORE_VERSION, APP_VERSION), "other versions were taken");
    match &handshake.address {
        HandshakeAddress::Tcp { host, port } => {
            assert!(*port != 0, "port 0 was taken");
            let strange = |it: char| it.is_whitespace() || it == '|' || is_unsafe(it);
            assert!(!host.is_empty() && !host.contains(strange), "a host: {host:?}");
        }
        HandshakeAddress::Unix(path) => {
            let path = path.as_os_str().as_encoded_bytes();
            assert!(!path.is_empty() && !path.contains(&0), "a socket's path: {path:?}");
        }
    }
    let own = handshake.to_string();
    if !own.contains(char::REPLACEMENT_CHARACTER) {
        assert_eq!(parse(own.as_bytes()), Ok(handshake), "its own line gives another value: {own}");
    }
}

fn refused(line: &[u8], error: &HandshakeError) {
    let too_long = matches!(error, HandshakeError::LineTooLong { .. });
    assert_eq!(too_long, line.len() >= MAX_LINE, "a line of {} bytes: {error}", line.len());
    let text = error.to_string();
    assert!(text.chars().count() <= LONGEST_ERROR, "a long error: {text}");
    assert!(!text.contains(is_unsafe), "control characters in an error: {text:?}");
}
