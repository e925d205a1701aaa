//! `serve`.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use plugin_conformance::api::GeneratedApi;
use plugin_conformance::api::mock::MockFile;
use plugin_conformance::api::{ApiServer, Dialect, Listen};
use plugin_conformance::embedded::{Embedded, StoreError};
use tokio::signal::unix::{SignalKind, signal};

use super::args::{DialectArgument, EmbeddedArguments, ServeArguments, ServerArgument};
use super::{Failure, out};

/// Calls under way at the end have this long.
const DRAIN: Duration = Duration::from_secs(2);

pub(super) async fn serve(arguments: ServeArguments) -> Result<ExitCode, Failure> {
    let mocks = match &arguments.mocks {
        Some(file) => {
            let mocks = MockFile::load(file)?.api(&arguments.version);
            // Whoever serves for long keeps only what is to be known at the end.
            Some(mocks.verify_on_drop(false).keep_last(0, 0))
        }
        None => None,
    };
    let api = match &mocks {
        Some(mocks) => mocks.plugin_api(),
        None if arguments.failing => GeneratedApi::failing(),
        None => match embedded(&arguments.embedded, &arguments.version)? {
            Some(server) => server.api_of(&arguments.plugin_id),
            None => GeneratedApi::answering(arguments.version),
        },
    };
    let dialect = match arguments.dialect {
        DialectArgument::GoServer => Dialect::GoServer,
        DialectArgument::Embedded => Dialect::Embedded,
    };
    // Before the address is printed: whoever reads it may send the signal at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = ApiServer::builder(api)
        .dialect(dialect)
        .listen(Listen::Tcp(arguments.listen))
        .start()
        .await?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", server.target())?;
    out.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server.stop(DRAIN).await;
    if let Some(Err(broken)) = mocks.map(|mocks| mocks.verify()) {
        out::complain(&broken.to_string());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The embedded Mattermost that was asked for: with a data file also without `--answers`.
pub(super) fn embedded(
    arguments: &EmbeddedArguments,
    version: &str,
) -> Result<Option<Embedded>, StoreError> {
    if arguments.answers == ServerArgument::Generated && arguments.data.is_none() {
        return Ok(None);
    }
    let builder = Embedded::builder().version(version);
    let builder = match &arguments.data {
        Some(file) => builder.data(file),
        None => builder,
    };
    builder.start().map(Some)
}
