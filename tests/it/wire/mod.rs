//! What goes in and out as bytes: the decoder against the schemas' examples, the encoders against the schemas.

mod decode;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    decode::trials()
}
