//! Keeps models in memory while they are needed.
//!
//! ```text
//! lease ──▶ leased by another caller? ─yes─▶ share it
//!             │no
//!             ▼ one load or unload at a time
//!           compare list and processes ─▶ still as we loaded it? ─▶ memory short? ─no─▶ lease
//!             │gone, reloaded by others, or memory short                │yes: smaller context
//!             ▼                                                         ▼
//!           plan a context ─▶ fits? ─no─▶ unload the least recently used model ─▶ plan again
//!             │yes                                                  └─▶ or refuse
//!             ▼
//!           load ─▶ mapping failed: without · out of memory: next smaller context ─▶ lease
//! ```
//!
//! | question | file |
//! |---|---|
//! | What may a manager do? | `settings` |
//! | What does the server say about a model? | `catalog` |
//! | What is loaded, what fits, and which model must go first? | `residency` |
//! | Who may load or unload right now? | `single_flight` |
//! | What do the clones of a manager share? | `shared` |
//! | What do the server and the processes show? | `observe` |
//! | When does an unload happen? | `unloading` |
//! | Is it all still as we left it? | `reconcile` |
//! | How does a model become ready? | `load` |
//! | How is a model used? | `lease` |
//! | What is reported? | `usage` |

mod catalog;
mod lease;
mod load;
mod observe;
mod reconcile;
mod residency;
mod settings;
mod shared;
mod single_flight;
mod unloading;
mod usage;

pub use lease::Lease;
pub use settings::Settings;
pub use shared::Manager;
