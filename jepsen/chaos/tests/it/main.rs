//! Real stories: three processes of the broker, killed and paused while clients work. They need its binary,
//! named in `FLOTILLA_BIN` or built beside them.

#![cfg(test)]

mod stories;
