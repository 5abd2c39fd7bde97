//! What Discord might tell that means harm, for property tests and fuzz targets. No release build has it.

pub use crate::discord::hostile::discord;
