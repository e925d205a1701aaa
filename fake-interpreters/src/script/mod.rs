//! What a fake interpreter is told to do: a small YAML file in the place of a Python script.
//!
//! ```yaml
//! life:                                # steps, done from top to bottom; then the exit code is 0
//!   - require_api
//!   - call: GetServerVersion
//!   - serve: {hooks: [OnActivate, OnDeactivate]}
//!   - handshake
//!   - wait
//! on:                                  # steps done when something happens
//!   OnActivate:                        # inside this hook; an empty answer follows
//!     - call: {rpc: GetUser, request: {user_id: abc}, deadline_ms: 1000}
//!   after_activate:                    # once the answer to OnActivate was sent
//!     - log: activated
//!   stop:                              # when asked to stop, inside `wait`
//!     - call: GetServerVersion
//! ```
//!
//! A step is a word (`wait`) or a word with its argument (`exit: 3`). Where an argument is a map of
//! which one entry suffices, that entry's value may stand alone: `call: GetUser` is
//! `call: {rpc: GetUser}`.
//!
//! # The PluginAPI
//!
//! | step | what it does | example |
//! |---|---|---|
//! | `require_api` | exits with 3 if `MATTERMOST_PLUGIN_API_TARGET` is not set | `require_api` |
//! | `call` | calls one RPC; without `request` with a [generated](crate::sample) one; `request_hex` sends these bytes, whatever they are; `expect` as in `every_rpc`, by default `any` | `call: {rpc: GetUser, request: {user_id: abc}, deadline_ms: 1000}` |
//! | `every_rpc` | calls all RPCs with generated requests, one after the other, and compares the answers: `expect: generated` (the default) are the generated responses, `expect: {errors: generated}` that each RPC fails with its [generated AppError](crate::sample::app_error) by its error channel, `expect: any` nothing. The answer to `GetServerVersion` must hold `server_version`; without that any version is right | `every_rpc: {expect: generated, server_version: 11.2.0}` |
//! | `repeat_call` | calls one RPC many times and measures; `in_flight` (1) of them at once | `repeat_call: {rpc: GetUser, times: 1000, in_flight: 8}` |
//! | `open_call` | starts a call whose request never ends, and forgets it | `open_call: GetUser` |
//! | `control` | connects to a [driver](crate::control)'s Unix socket and makes the calls that it orders, until it closes; `max_header_bytes` limits the metadata of a reply. With `hooks: true` the driver also [decides the hooks](crate::hook_control), with `lifecycle: true` even `OnActivate` and `OnDeactivate`; the step is then over once it is connected | `control: {socket: /tmp/driver.sock, max_header_bytes: 8192}` |
//!
//! # The plugin's own server
//!
//! | step | what it does | example |
//! |---|---|---|
//! | `serve` | serves the PluginHooks and health on a free port. `hooks`: those implemented, or `all`; they answer an empty message unless `on` says otherwise, all others `UNIMPLEMENTED`. `health`: `serving` (for `plugin`), `not_serving`, `unknown` (no service `plugin`), `blocked` (never answers), `missing` (no health at all). `controller` (go-plugin's `Shutdown`): `absent`, `exits` (answers and stops), `ignores` (answers), `blocked` (never answers). `network`: `tcp`, `unix` (a socket beside the script) | `serve: {hooks: [OnActivate], health: serving, controller: absent, network: tcp}` |
//! | `handshake` | prints `line`, in which `{network}` and `{address}` are those of `serve` and `{filler}` is `filler` times the letter x | `handshake: "1\|1\|tcp\|{address}\|netrpc"` |
//! | `wait` | until SIGTERM, SIGINT or the controller asks to stop; then does `on: stop`, lets calls end for 5 s, and exits with 0 | `wait` |
//!
//! From `serve` on (as in the Python SDK, whose event loop takes the signals) SIGTERM and SIGINT no
//! longer end the process by themselves: they wait for `wait`.
//!
//! # Inside a hook
//!
//! | step | what it does | example |
//! |---|---|---|
//! | `answer` | answers with this message; `generated`: with the [generated response](crate::sample::response) | `answer: {rejection_reason: no}` |
//! | `answer_error` | answers with this AppError in the response's `error`; `generated`: with the [generated one](crate::sample::app_error), and where the response has no `error` with the gRPC status of it | `answer_error: {id: x, message: y, status_code: 500}` |
//! | `answer_hex` | answers with these bytes, whatever they are | `answer_hex: "0aff"` |
//! | `fail` | answers with this gRPC status | `fail: {code: INTERNAL, message: x}` |
//!
//! The steps of `on: each_hook` are those of every hook that is served and has none of its own, but
//! for `Implemented` and `ServeHTTP`.
//!
//! # Inside `ServeHTTP`
//!
//! Without one of these the whole request is read, and the answer is 200 with a JSON object of
//! `method`, `url` and `body_bytes`.
//!
//! | step | what it does | example |
//! |---|---|---|
//! | `reply` | answers as its argument says, see below | `reply: {status: 404, body: not found}` |
//! | `routes` | reads the first message, and does what the first route says that takes the request: one without `method` takes any, one without `path` any, a `path` ending with `/*` all that begin so; the query does not count. A route has `reply`, or a list of steps, `do`. 404 when there is none | `routes: [{method: GET, path: /a, reply: {body: a}}, {path: "/b/*", do: [hang]}]` |
//!
//! What `reply` may say:
//!
//! | entry | what it says | default |
//! |---|---|---|
//! | `read` | what is read before: `all` (until `body_complete`, or the end), `first` (the first message), `none`; `echo`: each chunk is sent back before the next is read | `all` |
//! | `status` | the status, any 32-bit number | 200 |
//! | `headers` | `{key: value}`, `{key: [value, value]}`, or `[{key: .., values: [..]}]`, whose order is kept | none |
//! | `init` | where status and headers stand: `with_body` (with the first chunk), `alone` (in a message before), `none` (nowhere) | `with_body` |
//! | `second_init` | the message after the first has another init, with this status; if need be there is one more message | none |
//! | `body` | this text | empty |
//! | `body_bytes` | so many [letters](crate::sample::letters), made as they are sent; `from_path`: as many as the path's last part says | none |
//! | `chunk_bytes` | the size of a chunk, 1 to 32 MiB | 65536 |
//! | `flush` | the chunks with `flush`: `true` (each), or a list of them, counted from 0 | `false` |
//! | `end` | `complete` (`body_complete` on the last message), `close` (the stream ends without it), `fail: {code: .., message: ..}` (it ends with this status), `hang` (nothing more comes), `crash: SIGSEGV` (the process dies once all has been sent), `endless` (letters for ever) | `complete` |
//! | `after_complete` | one more chunk, this text, after the message with `body_complete` | none |
//!
//! # Output
//!
//! | step | what it does | example |
//! |---|---|---|
//! | `print` | a line to stdout | `print: hello` |
//! | `print_raw` | `text`, `repeat` times, to stdout without a newline | `print_raw: {text: x, repeat: 70000}` |
//! | `log` | a line to stderr | `log: hello` |
//! | `flood` | `bytes` bytes to `stream` in lines of `line_bytes` (80) | `flood: {stream: stdout, bytes: 4194304, line_bytes: 100000}` |
//! | `close_stdout` | closes stdout | `close_stdout` |
//!
//! # Going wrong
//!
//! | step | what it does | example |
//! |---|---|---|
//! | `delay` | waits so many milliseconds; everything else goes on | `delay: 200` |
//! | `hang` | nothing more from here on; everything else goes on | `hang` |
//! | `block_thread` | blocks the only thread: nothing goes on, and signals are not heard | `block_thread` |
//! | `ignore_sigterm` | SIGTERM no longer stops | `ignore_sigterm` |
//! | `exit` | exits with this code at once | `exit: 3` |
//! | `crash` | ends by SIGSEGV, SIGABRT or SIGKILL | `crash: SIGSEGV` |
//! | `grandchild` | starts a process that ignores SIGTERM and lives until killed (ten minutes at most); `holds_output`: it keeps stdout and stderr open; `new_session`: it is out of reach of a signal to the process group; `double_fork`: nobody between it and the plugin is left, as with a daemon; `holds_sockets`: it keeps the sockets on which the plugin listens and the connections that it has, as after a fork without exec (Linux) | `grandchild: {holds_output: true, new_session: false}` |
//! | `lock` | makes this file in the working directory and never removes it; exits with 4 if it is there | `lock: plugin.lock` |

mod arguments;
mod parse;
mod reply;
mod routes;
mod steps;

pub use crate::protocol::control::Control;
pub use arguments::{
    Call, Controller, Crash, Errors, EveryRpc, Expect, Fail, Flood, Grandchild, Handshake, Health,
    Hook, Network, OpenCall, PrintRaw, RepeatCall, Rpc, Serve, Stream,
};
pub use parse::{On, Script, ScriptError};
pub use reply::{Body, End, Flush, Init, Read, Reply};
pub use steps::{Route, STEPS, Step};

pub(crate) use routes::path_of;
