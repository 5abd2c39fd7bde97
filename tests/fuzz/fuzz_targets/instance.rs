//! What an instance answers: its word on itself, and its page of metrics.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    scalebot_adapters::hostile::instance(bytes);
    scalebot_adapters::hostile::metrics(bytes);
});
