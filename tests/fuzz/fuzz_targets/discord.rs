//! What Discord's gateway tells, and what its REST interface answers.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    scalebot::hostile::discord(bytes);
});
