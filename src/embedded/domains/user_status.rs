//! Whether users are there: a row for each user that something is known of.

use plugin_proto::v1;
use rusqlite::{Row, params};
use serde_json::json;

use super::super::ctx::{Ctx, to_user};
use super::super::refusal::{invalid, not_found};
use super::super::store::{Fault, Tx, WriteTx};
use crate::api::AppError;

/// Times of "do not disturb" are in seconds, all others in milliseconds. `set_at` is when it began.
pub(super) const SCHEMA: &str = "
CREATE TABLE statuses (
    user_id TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    manual INTEGER NOT NULL,
    last_activity_at INTEGER NOT NULL,
    dnd_end_time INTEGER NOT NULL,
    previous TEXT NOT NULL,
    set_at INTEGER NOT NULL
) WITHOUT ROWID;
";

const GET: &str = "app.status.get.app_error";
const OFFLINE: &str = "offline";
const DND: &str = "dnd";
/// Mattermost looks once a minute whose time without disturbance is over.
const MINUTE: i64 = 60;

/// What is known of a user.
#[derive(Debug, Clone, Default)]
struct Known {
    shown: v1::Status,
    previous: String,
    set_at: i64,
}

impl Known {
    fn read(row: &Row<'_>) -> Result<Self, Fault> {
        Ok(Self {
            shown: v1::Status {
                user_id: row.get(0)?,
                status: row.get(1)?,
                manual: row.get(2)?,
                last_activity_at: row.get(3)?,
                dnd_end_time: row.get(4)?,
            },
            previous: row.get(5)?,
            set_at: row.get(6)?,
        })
    }

    /// Whether the time without disturbance is over, and the server has had a minute to see it.
    fn is_over(&self, now: i64) -> bool {
        let end = self.shown.dnd_end_time;
        let seconds = now / 1000;
        self.shown.status == DND
            && end > 0
            && end <= seconds
            && self.set_at / 1000 + MINUTE <= seconds
    }

    fn back(mut self) -> Self {
        self.shown.status = std::mem::take(&mut self.previous);
        (self.shown.dnd_end_time, self.shown.manual) = (0, false);
        self
    }
}

fn find(tx: &Tx<'_>, user_id: &str) -> Result<Option<Known>, Fault> {
    let mut found = tx.rows(
        "SELECT user_id, status, manual, last_activity_at, dnd_end_time, previous, set_at
         FROM statuses WHERE user_id = ?1",
        [user_id],
        Known::read,
    )?;
    Ok(found.pop())
}

fn save(tx: &WriteTx<'_>, it: &Known) -> Result<(), Fault> {
    let shown = &it.shown;
    tx.execute(
        "INSERT INTO statuses
             (user_id, status, manual, last_activity_at, dnd_end_time, previous, set_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT DO UPDATE SET
             status = excluded.status, manual = excluded.manual,
             last_activity_at = excluded.last_activity_at, dnd_end_time = excluded.dnd_end_time,
             previous = excluded.previous, set_at = excluded.set_at",
        params![
            shown.user_id,
            shown.status,
            shown.manual,
            shown.last_activity_at,
            shown.dnd_end_time,
            it.previous,
            it.set_at
        ],
    )
    .map(drop)
}

/// The user is gone, whatever was set by hand.
pub(super) fn set_offline(tx: &WriteTx<'_>, user_id: &str) -> Result<(), Fault> {
    let mut known = find(tx, user_id)?.unwrap_or_default();
    known.shown = v1::Status {
        user_id: user_id.to_owned(),
        status: OFFLINE.to_owned(),
        manual: false,
        last_activity_at: tx.now(),
        dnd_end_time: 0,
    };
    save(tx, &known)
}

fn publish(ctx: &Ctx, status: &v1::Status) {
    let data = json!({ "status": status.status, "user_id": status.user_id });
    ctx.publish("status_change", data, to_user(&status.user_id));
}

/// Ends what is over for these users, as the server's job does.
async fn end_what_is_over(ctx: &Ctx, user_ids: Vec<String>) -> Result<(), AppError> {
    let now = ctx.now();
    let over = ctx.read(GET, move |tx| {
        let mut over = Vec::new();
        for id in user_ids {
            if find(tx, &id)?.is_some_and(|known| known.is_over(now)) {
                over.push(id);
            }
        }
        Ok(over)
    });
    let over = over.await?;
    if over.is_empty() {
        return Ok(());
    }
    let back = ctx.write(GET, move |tx| {
        let mut back = Vec::new();
        for id in over {
            if let Some(known) = find(tx, &id)?.filter(|known| known.is_over(now)) {
                let known = known.back();
                save(tx, &known)?;
                back.push(known.shown);
            }
        }
        Ok(back)
    });
    back.await?.iter().for_each(|status| publish(ctx, status));
    Ok(())
}

fn are_kept(ctx: &Ctx) -> bool {
    ctx.config().flag("ServiceSettings", "EnableUserStatuses")
}

/// A user of whom nothing is known is not found, such as a new one.
pub(in super::super) async fn get_user_status(
    ctx: &Ctx,
    it: v1::GetUserStatusRequest,
) -> Result<v1::GetUserStatusResponse, AppError> {
    if !are_kept(ctx) {
        let status = Some(v1::Status::default());
        return Ok(v1::GetUserStatusResponse { status, error: None });
    }
    end_what_is_over(ctx, vec![it.user_id.clone()]).await?;
    match ctx.read(GET, move |tx| find(tx, &it.user_id)).await? {
        Some(known) => Ok(v1::GetUserStatusResponse { status: Some(known.shown), error: None }),
        None => Err(not_found("app.status.get.missing.app_error", "There is no such status.")),
    }
}

/// In the order of the request; those of whom nothing is known are offline and come last.
pub(in super::super) async fn get_user_statuses_by_ids(
    ctx: &Ctx,
    it: v1::GetUserStatusesByIdsRequest,
) -> Result<v1::GetUserStatusesByIdsResponse, AppError> {
    if !are_kept(ctx) {
        return Ok(v1::GetUserStatusesByIdsResponse::default());
    }
    end_what_is_over(ctx, it.user_ids.clone()).await?;
    let statuses = ctx.read(GET, move |tx| {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for user_id in it.user_ids {
            match find(tx, &user_id)? {
                Some(status) => known.push(status.shown),
                None => {
                    let status = OFFLINE.to_owned();
                    unknown.push(v1::Status { user_id, status, ..Default::default() });
                }
            }
        }
        known.append(&mut unknown);
        Ok(known)
    });
    Ok(v1::GetUserStatusesByIdsResponse { statuses: statuses.await?, error: None })
}

/// The user need not exist.
pub(in super::super) async fn update_user_status(
    ctx: &Ctx,
    it: v1::UpdateUserStatusRequest,
) -> Result<v1::UpdateUserStatusResponse, AppError> {
    if !["online", "away", DND, OFFLINE].contains(&it.status.as_str()) {
        let message = "A status is online, away, dnd or offline.";
        return Err(invalid("plugin.api.update_user_status.bad_status", message));
    }
    let (status, changed) = set(ctx, it.user_id, it.status, None).await?;
    if changed {
        publish(ctx, &status);
    }
    Ok(v1::UpdateUserStatusResponse { status: Some(status), error: None })
}

pub(in super::super) async fn set_user_status_timed_dnd(
    ctx: &Ctx,
    it: v1::SetUserStatusTimedDndRequest,
) -> Result<v1::SetUserStatusTimedDndResponse, AppError> {
    let end = it.end_time - it.end_time.rem_euclid(MINUTE);
    let (status, changed) = set(ctx, it.user_id, DND.to_owned(), Some(end)).await?;
    if changed {
        publish(ctx, &status);
    }
    Ok(v1::SetUserStatusTimedDndResponse { status: Some(status), error: None })
}

/// The new status, and whether clients are to be told.
async fn set(
    ctx: &Ctx,
    user_id: String,
    status: String,
    dnd_end: Option<i64>,
) -> Result<(v1::Status, bool), AppError> {
    if !are_kept(ctx) {
        return Ok((v1::Status::default(), false));
    }
    end_what_is_over(ctx, vec![user_id.clone()]).await?;
    let set = ctx.write("app.status.save.app_error", move |tx| {
        let old = find(tx, &user_id)?;
        let is_new = old.is_none();
        let mut known = old.unwrap_or_default();
        let before = std::mem::replace(&mut known.shown.status, status);
        known.shown.user_id = user_id;
        let shown = &mut known.shown;
        let online = shown.status == "online";
        shown.manual = !online;
        if online || shown.status == OFFLINE {
            shown.last_activity_at = tx.now();
        }
        if shown.status == OFFLINE {
            shown.dnd_end_time = 0;
        }
        if let Some(end) = dnd_end {
            shown.dnd_end_time = end;
            known.previous = if is_new { OFFLINE.to_owned() } else { before.clone() };
            known.set_at = tx.now();
        }
        save(tx, &known)?;
        let changed = !online || is_new || before != known.shown.status;
        Ok((known.shown, changed))
    });
    set.await
}
