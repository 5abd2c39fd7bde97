//! What Prometheus answers.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    scalebot_adapters::hostile::prometheus(bytes);
});
