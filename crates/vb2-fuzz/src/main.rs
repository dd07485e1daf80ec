// SPDX-License-Identifier: GPL-2.0-only

//! The target of libFuzzer: see [`vb2_fuzz`] for the parts.

#![no_main]

use std::cell::{Cell, RefCell};

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use vb2_fuzz::maker::Maker;
use vb2_fuzz::options::Options;
use vb2_fuzz::session::Session;
use vb2_fuzz::sys;

/// The program cannot do what it was asked to.
const CANNOT: i32 = 2;

thread_local! {
    static SESSION: RefCell<Option<Session>> = const { RefCell::new(None) };
    static MAKER: RefCell<Option<Maker>> = const { RefCell::new(None) };
    static MUTATIONS: Cell<u64> = const { Cell::new(0) };
    static SEEDED: Cell<bool> = const { Cell::new(false) };
}

fn begin() {
    let begun = Options::from_environment().and_then(|options| {
        MAKER.set(Some(Maker::new(options.seed)));
        SEEDED.set(options.seeded);
        Session::new(options)
    });
    match begun {
        Ok(session) => SESSION.set(Some(session)),
        Err(err) => {
            eprintln!("vb2-fuzz: {err:#}");
            sys::exit(CANNOT);
        }
    }
}

/// Tries an input. Ends the program if that was enough, or something is wrong.
fn input(bytes: &[u8]) {
    let tried = SESSION.with_borrow_mut(|session| {
        let session = session.as_mut()?;
        Some(session.input(bytes).map(|()| session.is_over()))
    });
    match tried {
        None | Some(Ok(false)) => {}
        Some(Ok(true)) => {
            let digest = MAKER.take().map_or(0, |maker| maker.digest());
            let ended = SESSION
                .take()
                .map_or(Ok(()), |session| session.finish(digest));
            if let Err(err) = &ended {
                eprintln!("vb2-fuzz: FAILED: {err:#}");
            }
            sys::exit(i32::from(ended.is_err()));
        }
        Some(Err(err)) => {
            eprintln!("vb2-fuzz: FAILED: {err:#}");
            // Switches the display off in its own way.
            drop(SESSION.take());
            // libFuzzer keeps the input.
            std::process::abort();
        }
    }
}

fuzz_target!(init: begin(), |bytes: &[u8]| input(bytes));

// Every other input, or each one, depends on the seed alone, whatever the kernel says; the others libFuzzer
// makes from those before that were new.
fuzz_mutator!(
    |bytes: &mut [u8], size: usize, max_size: usize, _seed: u32| {
        let number = MUTATIONS.replace(MUTATIONS.get() + 1);
        MAKER.with_borrow_mut(|maker| match maker {
            Some(maker) if number % 2 == 0 || SEEDED.get() => maker.make(&mut bytes[..max_size]),
            _ => fuzzer_mutate(bytes, size, max_size),
        })
    }
);
