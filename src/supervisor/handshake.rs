//! The first line of a plugin's stdout, go-plugin's handshake:
//!
//! ```text
//! CORE|APP|NETWORK|ADDR[|PROTOCOL[|SERVER_CERT[|MUX]]]      1|1|tcp|127.0.0.1:54321|grpc
//! ```

use std::ffi::OsStr;
use std::fmt;
use std::net::Ipv6Addr;
use std::os::unix::ffi::OsStrExt;
use std::str;
use std::time::Duration;

use thiserror::Error;

use crate::escape::escaped_bytes;
pub use crate::hooks::HandshakeAddress;

/// The first line must be shorter than this, in bytes without its end.
pub const MAX_LINE: usize = 64 * 1024;
/// Name of the environment variable that tells a plugin it was started by a Mattermost server.
pub const COOKIE_KEY: &str = "MATTERMOST_PLUGIN";
/// Value of the variable [`COOKIE_KEY`].
pub const COOKIE_VALUE: &str = "Securely message teams, anywhere.";
/// The only core protocol version, field 1.
pub const CORE_VERSION: i64 = 1;
/// The only application protocol version, field 2.
pub const APP_VERSION: i64 = 1;

/// A server certificate, field 6, is one only if it is longer than this, in bytes.
const LONGEST_IGNORED_CERT: usize = 50;
/// Most characters of the plugin's own text in an error.
const SHOWN: usize = 200;

/// A handshake that passed every check. `to_string` gives a line that parses to the same value, if
/// a socket's path is UTF-8.
///
/// ```
/// use plugin_conformance::supervisor::{Handshake, HandshakeAddress};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let handshake = Handshake::parse(b"1|1|tcp|127.0.0.1:54321|grpc")?;
/// let address = HandshakeAddress::Tcp { host: "127.0.0.1".into(), port: 54321 };
/// assert_eq!(handshake.address, address);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Always [`CORE_VERSION`].
    pub core_version: i64,
    /// Always [`APP_VERSION`].
    pub app_version: i64,
    /// Where the plugin listens.
    pub address: HandshakeAddress,
    /// What it speaks there.
    pub protocol: HandshakeProtocol,
}

/// What a plugin speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeProtocol {
    /// gRPC over plaintext HTTP/2.
    Grpc,
}

/// Why a plugin did not get past the handshake. The texts hold the upstream supervisor's words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Fewer than four fields; usually something was printed before the handshake.
    #[error(
        "Unrecognized remote plugin message: {line}; the first line on stdout must be the handshake, \
         such as 1|1|tcp|127.0.0.1:54321|grpc: print everything else on stderr"
    )]
    Unrecognized {
        /// The line, escaped and shortened to 200 characters.
        line: String,
    },
    /// Field 1 is not an integer.
    #[error(
        "error parsing core protocol version {version:?}; field 1 of the handshake must be {CORE_VERSION}: {line}"
    )]
    CoreVersionNotANumber {
        /// The field, escaped and shortened.
        version: String,
        /// The line, escaped and shortened.
        line: String,
    },
    /// Field 1 is not [`CORE_VERSION`].
    #[error(
        "incompatible core API version with plugin. Plugin version: {version}, core version: {CORE_VERSION}; \
         update the plugin's SDK"
    )]
    CoreVersion {
        /// The plugin's version.
        version: i64,
    },
    /// Field 2 is not an integer.
    #[error(
        "Error parsing protocol version {version:?}; field 2 of the handshake must be {APP_VERSION}: {line}"
    )]
    AppVersionNotANumber {
        /// The field, escaped and shortened.
        version: String,
        /// The line, escaped and shortened.
        line: String,
    },
    /// Field 2 is not [`APP_VERSION`].
    #[error(
        "incompatible API version with plugin. Plugin version: {version}, Client versions: [{APP_VERSION}]; \
         update the plugin's SDK"
    )]
    AppVersion {
        /// The plugin's version.
        version: i64,
    },
    /// Field 3 is neither `tcp` nor `unix`.
    #[error(
        "unknown address type: {network:?} with address {addr:?}; field 3 of the handshake must be tcp or unix"
    )]
    UnknownNetwork {
        /// Field 3, escaped and shortened.
        network: String,
        /// Field 4, escaped and shortened.
        addr: String,
    },
    /// Field 4 is not an address of its network.
    #[error("invalid {network} address {addr:?} in the handshake: {reason}")]
    InvalidAddress {
        /// `tcp` or `unix`.
        network: &'static str,
        /// Field 4, escaped and shortened.
        addr: String,
        /// What is wrong and what belongs there.
        reason: &'static str,
    },
    /// The host of a TCP address could not be looked up. [`Handshake::parse`] looks nothing up;
    /// this is for the one who connects.
    #[error(
        "cannot resolve the address {addr:?} in the handshake: {reason}; let the plugin listen on 127.0.0.1"
    )]
    Unresolvable {
        /// The address as the plugin printed it.
        addr: String,
        /// The resolver's words.
        reason: String,
    },
    /// Field 5 is missing, which means `netrpc`, or is anything but `grpc`.
    #[error(
        "unsupported plugin protocol {protocol:?}. Supported: [grpc]; field 5 of the handshake must be grpc"
    )]
    UnsupportedProtocol {
        /// The field, escaped and shortened; `netrpc` if it is missing.
        protocol: String,
    },
    /// Field 6 is longer than 50 bytes: a TLS certificate. The upstream supervisor tries to parse
    /// it and fails, or panics over a valid one.
    #[error(
        "error parsing server cert: the handshake has one of {length} bytes, but plugins are reached without TLS; leave field 6 empty"
    )]
    ServerCert {
        /// Length of the field in bytes.
        length: usize,
    },
    /// The first line does not end in time to be a handshake.
    #[error(
        "Unrecognized remote plugin message: the first line on stdout has {limit} bytes or more; \
         print everything but the handshake on stderr"
    )]
    LineTooLong {
        /// Bytes that a line may not reach.
        limit: usize,
    },
    /// No line came in time.
    #[error(
        "timeout while waiting for plugin to start: no handshake on stdout after {after:?}; \
         print it with flush=True once the plugin listens"
    )]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// Stdout ended before there was a line; usually the process has ended.
    #[error(
        "Unrecognized remote plugin message: \nFailed to read any lines from plugin's stdout{}; \
         its stderr tells why",
        status.as_ref().map(|status| format!(" ({status})")).unwrap_or_default()
    )]
    NoLine {
        /// How the process ended, in words, if it has.
        status: Option<String>,
    },
}

impl Handshake {
    /// Checks the first line of a plugin's stdout, without its line feed. The checks come in the
    /// order of go-plugin's; white space around the line is ignored, inside the fields it is not.
    /// A sixth field of at most 50 bytes and all further fields are ignored.
    ///
    /// # Errors
    ///
    /// One variant of [`HandshakeError`] for each check, and `LineTooLong` before all of them.
    pub fn parse(line: &[u8]) -> Result<Self, HandshakeError> {
        if line.len() >= MAX_LINE {
            return Err(HandshakeError::LineTooLong { limit: MAX_LINE });
        }
        let line = trim(line);
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b'|').collect();
        let [core, app, network, addr, optional @ ..] = fields.as_slice() else {
            return Err(HandshakeError::Unrecognized { line: show(line) });
        };
        let core_version = core_version(core, line)?;
        let app_version = app_version(app, line)?;
        let address = parse_address(network, addr)?;
        let protocol = HandshakeProtocol::parse(optional.first().copied())?;
        reject_cert(optional.get(1).copied().unwrap_or_default())?;
        Ok(Self { core_version, app_version, address, protocol })
    }
}

fn core_version(field: &[u8], line: &[u8]) -> Result<i64, HandshakeError> {
    match integer(field) {
        Some(CORE_VERSION) => Ok(CORE_VERSION),
        Some(version) => Err(HandshakeError::CoreVersion { version }),
        None => {
            Err(HandshakeError::CoreVersionNotANumber { version: show(field), line: show(line) })
        }
    }
}

fn app_version(field: &[u8], line: &[u8]) -> Result<i64, HandshakeError> {
    match integer(field) {
        Some(APP_VERSION) => Ok(APP_VERSION),
        Some(version) => Err(HandshakeError::AppVersion { version }),
        None => {
            Err(HandshakeError::AppVersionNotANumber { version: show(field), line: show(line) })
        }
    }
}

fn reject_cert(field: &[u8]) -> Result<(), HandshakeError> {
    if field.len() > LONGEST_IGNORED_CERT {
        return Err(HandshakeError::ServerCert { length: field.len() });
    }
    Ok(())
}

impl HandshakeProtocol {
    fn parse(field: Option<&[u8]>) -> Result<Self, HandshakeError> {
        match field.unwrap_or(b"netrpc") {
            b"grpc" => Ok(Self::Grpc),
            other => Err(HandshakeError::UnsupportedProtocol { protocol: show(other) }),
        }
    }
}

fn parse_address(network: &[u8], addr: &[u8]) -> Result<HandshakeAddress, HandshakeError> {
    let (network, address) = match network {
        b"tcp" => ("tcp", tcp_address(addr)),
        b"unix" => ("unix", unix_address(addr)),
        other => {
            return Err(HandshakeError::UnknownNetwork { network: show(other), addr: show(addr) });
        }
    };
    address.map_err(|reason| HandshakeError::InvalidAddress { network, addr: show(addr), reason })
}

fn tcp_address(addr: &[u8]) -> Result<HandshakeAddress, &'static str> {
    const SHAPE: &str = "it must be host:port, such as 127.0.0.1:54321 or [::1]:54321";
    let (host, port) =
        str::from_utf8(addr).ok().and_then(|addr| addr.rsplit_once(':')).ok_or(SHAPE)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|it| is_ipv6(it)),
        None => Some(host).filter(|it| is_name(it)),
    };
    let host = host.ok_or(SHAPE)?.to_owned();
    let port = Some(port)
        .filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|port| port.parse().ok())
        .filter(|&port| port != 0)
        .ok_or("the port must be a number from 1 to 65535")?;
    Ok(HandshakeAddress::Tcp { host, port })
}

/// An IPv6 address; a zone such as `%eth0` may follow.
fn is_ipv6(host: &str) -> bool {
    let (address, zone) = host.split_once('%').unwrap_or((host, "0"));
    address.parse::<Ipv6Addr>().is_ok() && is_name(zone)
}

/// A host name or an IPv4 address, as far as its characters go.
fn is_name(host: &str) -> bool {
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !host.is_empty() && host.bytes().all(in_name)
}

fn unix_address(addr: &[u8]) -> Result<HandshakeAddress, &'static str> {
    if addr.is_empty() || addr.contains(&0) {
        return Err("it must be the path of the socket");
    }
    Ok(HandshakeAddress::Unix(OsStr::from_bytes(addr).into()))
}

fn integer(field: &[u8]) -> Option<i64> {
    str::from_utf8(field).ok()?.parse().ok()
}

fn trim(line: &[u8]) -> &[u8] {
    match str::from_utf8(line) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => line.trim_ascii(),
    }
}

fn show(bytes: &[u8]) -> String {
    escaped_bytes(bytes, SHOWN)
}

impl fmt::Display for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (core, app) = (self.core_version, self.app_version);
        write!(f, "{core}|{app}|{}|{}", self.address, self.protocol)
    }
}

/// Fields 3 and 4: `tcp|127.0.0.1:54321`.
impl fmt::Display for HandshakeProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grpc => f.write_str("grpc"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(line: &str) -> HandshakeAddress {
        Handshake::parse(line.as_bytes()).unwrap().address
    }

    fn tcp(host: &str, port: u16) -> HandshakeAddress {
        HandshakeAddress::Tcp { host: host.to_owned(), port }
    }

    fn refusal(line: impl AsRef<[u8]>) -> HandshakeError {
        Handshake::parse(line.as_ref()).unwrap_err()
    }

    fn text(line: impl AsRef<[u8]>) -> String {
        refusal(line).to_string()
    }

    #[test]
    fn f_2_the_usual_line() {
        let handshake = Handshake::parse(b"1|1|tcp|127.0.0.1:54321|grpc\r").unwrap();
        assert_eq!(handshake.address, tcp("127.0.0.1", 54321));
        assert_eq!(handshake.protocol, HandshakeProtocol::Grpc);
        assert_eq!(handshake.to_string(), "1|1|tcp|127.0.0.1:54321|grpc");
    }

    #[test]
    fn s_35_silence_is_a_timeout() {
        let after = Duration::from_secs(10);
        let text = HandshakeError::Timeout { after }.to_string();
        assert!(text.contains("timeout while waiting for plugin to start"), "{text}");
        assert!(text.contains("10s"), "{text}");
    }

    #[test]
    fn s_37_netrpc_is_unsupported() {
        for line in ["1|1|tcp|127.0.0.1:1|netrpc", "1|1|tcp|127.0.0.1:1"] {
            assert!(
                text(line).starts_with("unsupported plugin protocol \"netrpc\". Supported: [grpc]"),
            );
        }
        for protocol in ["", "GRPC", " grpc"] {
            let error = refusal(format!("1|1|tcp|127.0.0.1:1|{protocol}|"));
            assert!(matches!(error, HandshakeError::UnsupportedProtocol { .. }));
        }
    }

    #[test]
    fn s_38_two_fields_are_unrecognized() {
        assert!(text("1|invalid").starts_with("Unrecognized remote plugin message: 1|invalid"));
        assert!(text("").starts_with("Unrecognized remote plugin message: "));
    }

    #[test]
    fn s_39_no_output_and_too_long_lines_are_unrecognized() {
        for (status, shown) in [(None, "stdout;"), (Some("exit status: 1"), "exit status: 1")] {
            let status = status.map(str::to_owned);
            let text = HandshakeError::NoLine { status }.to_string();
            assert!(text.starts_with("Unrecognized remote plugin message: "));
            assert!(text.contains("Failed to read any lines from plugin's stdout"));
            assert!(text.contains(shown), "{text}");
        }
        let mut line = b"1|1|tcp|127.0.0.1:1|grpc||".to_vec();
        line.resize(MAX_LINE - 1, b'x');
        assert!(Handshake::parse(&line).is_ok());
        line.push(b'x');
        assert_eq!(refusal(line), HandshakeError::LineTooLong { limit: MAX_LINE });
    }

    #[test]
    fn versions_are_checked_in_order() {
        assert!(text("x|y|z|w").starts_with("error parsing core protocol version \"x\""));
        assert_eq!(refusal("2|y|z|w"), HandshakeError::CoreVersion { version: 2 });
        assert!(text("2|y|z|w").contains("incompatible core API version with plugin"));
        assert!(text("1|y|z|w").starts_with("Error parsing protocol version \"y\""));
        assert!(text("1||z|w").starts_with("Error parsing protocol version \"\""));
        assert!(text("1| 1|z|w").starts_with("Error parsing protocol version \" 1\""));
        let incompatible =
            "incompatible API version with plugin. Plugin version: 7, Client versions: [1]";
        assert!(text("1|7|z|w").starts_with(incompatible));
        assert!(text("1|1|z|w").starts_with("unknown address type: \"z\""));
        assert!(text("1|1|tcp|w|netrpc").starts_with("invalid tcp address \"w\""));
    }

    #[test]
    fn tcp_addresses() {
        assert_eq!(address("1|1|tcp|[::1]:80|grpc"), tcp("::1", 80));
        assert_eq!(address("1|1|tcp|[fe80::1%eth0]:80|grpc"), tcp("fe80::1%eth0", 80));
        assert_eq!(address("1|1|tcp|localhost:65535|grpc"), tcp("localhost", 65535));
        for addr in [
            "",
            ":",
            ":80",
            "127.0.0.1",
            "127.0.0.1:",
            "h:0",
            "h:65536",
            "h:+80",
            "h:http",
            "::1:80",
            "[::1]",
            "[::1:80",
            "[h]:80",
            "a b:80",
            "h/x:80",
            "[fe80::1%]:80",
            "ü:80",
        ] {
            let error = refusal(format!("1|1|tcp|{addr}|grpc"));
            assert!(matches!(error, HandshakeError::InvalidAddress { .. }), "{addr}: {error}");
        }
    }

    #[test]
    fn unix_addresses() {
        let socket = HandshakeAddress::Unix("/tmp/a b.sock".into());
        assert_eq!(address("1|1|unix|/tmp/a b.sock|grpc"), socket);
        assert!(text("1|1|unix||grpc").contains("path of the socket"));
        assert!(text("1|1|unix|a\0b|grpc").contains("path of the socket"));
    }

    #[test]
    fn short_certs_and_further_fields_are_ignored() {
        let line = |cert: usize| format!("1|1|tcp|h:1|grpc|{}|true|more", "c".repeat(cert));
        assert!(Handshake::parse(line(50).as_bytes()).is_ok());
        assert_eq!(refusal(line(51)), HandshakeError::ServerCert { length: 51 });
        assert!(text(line(51)).contains("server cert"));
    }

    #[test]
    fn errors_show_escaped_and_shortened_lines() {
        assert!(text(b"\x1b[31m\xff\xfe").contains("\\u{1b}[31m\\xff\\xfe"));
        let HandshakeError::Unrecognized { line } = refusal("x".repeat(1000)) else {
            panic!("another error");
        };
        assert_eq!(line.chars().count(), 200);
        assert!(line.ends_with('…'));
    }

    fn any_address() -> impl Strategy<Value = HandshakeAddress> {
        let host = prop_oneof![
            "[a-z0-9._-]{1,20}",
            any::<std::net::Ipv4Addr>().prop_map(|it| it.to_string()),
            any::<Ipv6Addr>().prop_map(|it| it.to_string()),
        ];
        prop_oneof![
            (host, 1_u16..).prop_map(|(host, port)| HandshakeAddress::Tcp { host, port }),
            "[^|\0\n]{1,40}".prop_map(|path| HandshakeAddress::Unix(path.into())),
        ]
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in any::<Vec<u8>>()) {
            let _ = Handshake::parse(&line).map_err(|error| error.to_string());
        }

        #[test]
        fn nearly_valid_bytes_do_not_panic(line in "1\\|1\\|(tcp|unix)\\|[\\[\\]:%.a-f0-9]{0,12}(\\|.{0,60}){0,3}") {
            let _ = Handshake::parse(line.as_bytes()).map_err(|error| error.to_string());
        }

        #[test]
        fn printed_handshakes_parse_back(address in any_address()) {
            let handshake = Handshake {
                core_version: CORE_VERSION,
                app_version: APP_VERSION,
                address,
                protocol: HandshakeProtocol::Grpc,
            };
            let parsed = Handshake::parse(handshake.to_string().as_bytes());
            prop_assert_eq!(parsed, Ok(handshake));
        }
    }
}
