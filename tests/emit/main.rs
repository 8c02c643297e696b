//! Scripts for SystemTap, held against SystemTap itself: what `stap -p2` says a script probes is what was meant.

mod programs;
mod sample;
mod stap;
mod world;

mod examples;
mod golden;
mod hostile;
mod points;
mod reference;

mod values;
