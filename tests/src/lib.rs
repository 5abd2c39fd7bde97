//! What the tests of the whole are made of: the simulator, and the check of every exported event against its schema.

pub mod binary;
pub mod schemas;
pub mod sim;
