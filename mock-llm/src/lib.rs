//! A stand-in for the HTTP APIs of LLM providers, for tests, demos and benchmarks.
//!
//! [`MockLlm::start`] binds a port and serves `OpenAI`'s and Anthropic's endpoints in their true
//! shapes, raw endpoints that test a transport, and control endpoints, over HTTP/1.1 and HTTP/2
//! without TLS. What an answer is and how it arrives (pace, pauses, errors, cuts, gates) is a
//! [`Script`]: the instance's own, overridden per request by the header `x-mock` or the query
//! parameter `mock`, both holding JSON.
//!
//! | module | what it holds |
//! |---|---|
//! | `server` | the listener, [`MockLlm`] |
//! | `route` | which path is answered by whom |
//! | `openai`, `anthropic` | the providers' shapes |
//! | [`raw`] | byte streams, echoes, trailers, broken bodies |
//! | `control` | driving the mock from another process |
//! | `answer`, `tokens`, `prose`, `sample` | what is said |
//! | `delivery`, `gzip` | when it is said, and in which pieces |
//! | `context` | what the answer to one request stands on |
//! | `exchange`, `records`, `body` | what is counted and recorded |
//! | `multipart`, `files` | what is uploaded |
//!
//! Imports point one way: `route` → `openai`, `anthropic` → `delivery` → `context` → `body`. What
//! `context` needs of a provider it says in a trait that the providers implement.
//!
//! It trusts its callers: no limits protect it, and bodies may have any size. Everything it says
//! is a pure function of the request, apart from clock readings and identifiers, which follow the
//! number of the request.

mod answer;
mod anthropic;
mod body;
mod context;
mod control;
mod delivery;
mod exchange;
mod fault;
mod fields;
mod files;
mod gzip;
mod multipart;
mod openai;
mod prose;
mod random;
pub mod raw;
mod records;
mod route;
mod sample;
mod script;
mod server;
mod tokens;

pub use files::{KEPT_FILE_BYTES, KEPT_FILES};
pub use raw::pattern;
pub use records::{KEPT_BODY, KEPT_REQUESTS, Recorded, Stats};
pub use script::{Chunking, Config, Hang, LineEnd, Ping, Script, ToolCall};
pub use server::MockLlm;
pub use tokens::split as split_tokens;
