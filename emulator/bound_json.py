"""The module `json` for the host, with the functions that the library had before user code was loaded.

    from emulator import bound_json as json

Tests and apps replace `json.dumps` and `json.loads` for the whole process, for example to let one of them fail. The
host must still be able to read and write its formats meanwhile.
"""

from json import JSONDecodeError as JSONDecodeError
from json import JSONDecoder as JSONDecoder
from json import JSONEncoder as JSONEncoder
from json import dumps as dumps
from json import loads as loads
