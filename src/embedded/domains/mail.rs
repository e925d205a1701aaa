//! Mail. The mail server is the outbox, so nothing fails for want of one.

use plugin_proto::v1;

use super::super::ctx::Ctx;
use super::super::outbox::{Mail, Sent};
use super::super::refusal::invalid;
use crate::api::AppError;

/// The address is not checked. Without notifications by mail, or without a mail server's name, nothing
/// is sent and nothing fails.
pub(in super::super) async fn send_mail(
    ctx: &Ctx,
    it: v1::SendMailRequest,
) -> Result<v1::SendMailResponse, AppError> {
    if it.to.is_empty() {
        return Err(invalid("plugin_api.send_mail.missing_to", "Missing TO address."));
    }
    if it.subject.is_empty() {
        return Err(invalid("plugin_api.send_mail.missing_subject", "Missing email subject."));
    }
    if it.html_body.is_empty() {
        return Err(invalid("plugin_api.send_mail.missing_htmlbody", "Missing HTML Body."));
    }
    let config = ctx.config();
    let sends = config.flag("EmailSettings", "SendEmailNotifications");
    if sends && !config.text("EmailSettings", "SMTPServer").is_empty() {
        let mail = Mail { to: it.to, subject: it.subject, html: it.html_body };
        ctx.outbox().send(Sent::Mail(mail));
    }
    Ok(v1::SendMailResponse::default())
}
