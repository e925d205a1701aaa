//! Requests over HTTP in the trace.

use std::sync::Arc;

use serde_json::json;

use super::{Category, Trace};
use crate::http_front::{Exchange, ExchangeEnd, ExchangeObserver};

impl Trace {
    /// Writes every request that is over.
    pub(in super::super) fn http(&self) -> ExchangeObserver {
        let trace = self.clone();
        Arc::new(move |exchange: &Exchange| {
            if !trace.is_on() {
                return;
            }
            let name = format!("{} {}", exchange.method, exchange.path);
            let status = exchange.status.map(|status| status.to_string()).unwrap_or_default();
            let end = match &exchange.end {
                ExchangeEnd::Whole => "whole",
                ExchangeEnd::Cut(reason) => reason,
                ExchangeEnd::ClientLeft => "the client left",
                ExchangeEnd::Stopped => "the server stopped",
            };
            let detail = json!({ "reply_bytes": exchange.reply_bytes, "end": end });
            let (plugin, start, duration) =
                (&exchange.plugin_id, exchange.start, Some(exchange.duration));
            trace.write(Category::Http, plugin, &name, &status, start, duration, detail);
        })
    }
}
