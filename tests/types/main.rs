//! Types of the program as its debug info gives them: paths, text and values shown whole, on real programs stopped where
//! ctp would probe them. Expected values are those the programs' sources write.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod c;
mod cpp;
mod go;
mod rust;
mod stop;
