//! The reactor, one story a test. Each step says which effects must follow, all of them: anything else fails the test.

mod bench;
mod earning;
mod ending;
mod reorganisation;
mod reports;
mod restart;
mod running;
