//! The readers by their outside: samples built here, byte for byte, and any bytes whatever.
#![cfg(test)]

mod apt;
mod bounds;
mod bytecode;
mod deb;
mod dpkg;
mod dpkg_hostile;
mod elf;
mod hostile;
mod jar;
mod openpgp;
mod other;
mod rpm;
mod rpm_hostile;
mod sample;
mod script;
mod signature;
