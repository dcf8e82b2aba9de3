//! The numbers scripts rely on are those of sysexits(3).

use doorward_service::exit::Exit;

#[test]
fn codes_are_those_of_sysexits() {
    let table = [
        (Exit::Ok, 0),
        (Exit::Failure, 1),
        (Exit::Usage, 64),
        (Exit::Data, 65),
        (Exit::NoInput, 66),
        (Exit::Unavailable, 69),
        (Exit::Software, 70),
        (Exit::Os, 71),
        (Exit::CannotCreate, 73),
        (Exit::Io, 74),
        (Exit::Temporary, 75),
        (Exit::NoPermission, 77),
        (Exit::Config, 78),
    ];
    for (exit, number) in table {
        assert_eq!(exit as u8, number, "{exit:?}");
    }
}
