"""The words that the deterministic reader knows. Plain tables; no code beyond making sets of them.

What is not here is still read as a thing when an article says so ("the turbine"), by its own last word; what is here is
known to be a person, to be worn or carried, or to say that something is new.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MALE = (
    "man men guy gentleman boy father brother son husband uncle grandfather fisherman fireman policeman waiter king "
    "prince actor"
)
_FEMALE = (
    "woman women lady girl mother sister daughter wife aunt grandmother nurse waitress queen princess actress "
    "policewoman"
)
_ROLES = (
    "person people child kid baby toddler teenager teen adult student teacher doctor worker driver cyclist jogger "
    "runner hiker pilot officer guard vendor seller farmer fisher artist painter musician guitarist chef cook soldier "
    "climber surfer skater swimmer walker tourist stranger friend passenger pedestrian rider shopkeeper photographer "
    "engineer mechanic operator survivor victim"
)
MALE = _words(_MALE)
FEMALE = _words(_FEMALE)
PERSONS = MALE | FEMALE | _words(_ROLES)

PROTAGONISTS = _words("protagonist hero heroine lead")
"""The first person of the mission, whoever that is."""

VEHICLES = _words(
    "car van truck lorry bus taxi bicycle bike motorcycle scooter train tram boat ship ferry plane aircraft helicopter "
    "drone tractor excavator crane trailer ambulance pickup jeep"
)
ANIMALS = _words("dog cat horse cow sheep goat bird duck goose deer fox rabbit puppy kitten pigeon swan")
STRUCTURES = _words(
    "tower beacon gate pad wire sign tree building house barn hangar bridge fence wall pole mast pylon tank silo "
    "chimney door window roof antenna turbine lamp post container tent hut shed warehouse church statue fountain "
    "billboard mailbox hydrant barrel crate box cone flag buoy rock boulder log bush hedge balloon lighthouse kiosk "
    "greenhouse windmill"
)

HYPERNYMS = {
    "vehicle": VEHICLES,
    "animal": ANIMALS,
    "structure": STRUCTURES,
}

THINGS = VEHICLES | ANIMALS | STRUCTURES | frozenset(HYPERNYMS)

OUTERWEAR = _words("jacket coat sweater hoodie parka cardigan blazer pullover jumper vest raincoat")
_GARMENTS = (
    "dress shirt blouse t-shirt tshirt top skirt trousers pants jeans shorts shoes boots sneakers sandals hat cap "
    "helmet beanie scarf gloves tie suit uniform apron belt socks overalls robe"
)
_BODY = "hair beard moustache mustache eyes ponytail braid braids face freckles tattoo"
_CARRIED = (
    "glasses sunglasses goggles watch bag backpack handbag briefcase suitcase umbrella cup mug bottle book sketchbook "
    "notebook newspaper phone camera guitar cane basket bouquet flowers laptop tablet map rope leash ball toy kite "
    "earrings necklace ring headphones bracelet"
)
_FURNITURE = "bench chair table sofa stool desk bed swing blanket"
ACCESSORIES = _words(f"{_GARMENTS} {_BODY} {_CARRIED} {_FURNITURE}") | OUTERWEAR
"""Said of somebody, these are attributes; on their own they are things."""

EXCLUSIVE = _words(_GARMENTS) | _words("hair beard glasses")
"""Of these one has one at a time: another contradicts the first."""

STATES = {
    "open": "open or closed", "closed": "open or closed", "shut": "open or closed", "lit": "lit or dark",
    "dark": "lit or dark", "parked": "parked or moving", "moving": "parked or moving", "empty": "empty or full",
    "full": "empty or full", "locked": "locked or not", "unlocked": "locked or not",
}  # fmt: skip

COLOURS = _words(
    "red blue green yellow black white grey gray orange purple brown pink silver golden beige cyan magenta violet "
    "turquoise maroon navy"
)

ADJECTIVES = (
    _words(
        "young old elderly middle-aged tall short small big large little tiny huge slim thin heavy stocky bald "
        "bearded blond blonde long messy curly straight dark light wooden metal steel stone brick concrete plastic "
        "glass broken rusty new ancient modern first second third main same tired wet muddy bright striped plaid "
        "denim leather woolen wool cotton silk knitted floral abandoned ruined round square narrow wide high low"
    )
    | COLOURS
    | frozenset(STATES)
)

ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}

ALWAYS_NEW = frozenset({"another"})
NEW_AFTER_INDEFINITE = frozenset({"new", "different", "second", "third", "fourth", "fifth", "further", "other"})
"""After a or an these say that it is none of the known ones: "a second man"."""

DEFINITE = _words("the this that these those his her its their said")
INDEFINITE = _words("a an one some another")

PRONOUNS = {
    "he": "male", "him": "male", "she": "female", "they": "plural", "them": "plural", "it": "thing",
}  # fmt: skip
"""Possessives (his, her, its) are left out: they say whose something is and name nothing of their own."""

ATTACHING = _words("in with wearing wears carrying carries holding holds has having")
"""Words after which something is said of the one before."""

PREPOSITIONS = _words(
    "on at to from past over under behind beside near towards toward by around through across along above below "
    "between into onto against of for until after before beyond inside outside off up down next left right"
)

CONJUNCTIONS = _words("and or but then while as when whereas")

VERBS = _words(
    "is are was be stands stand sits sit walks walk runs run waits wait looks look fly find follow circle land hover "
    "approach reach pass go goes move watch stay turns turn smiles waves talks talk joins join meets meet opens closes "
    "drinks drink reads read leaves leave comes come takes take gives give puts put keeps keep points enters "
    "enter rides drives drops picks sees see hugs calls asks crosses returns arrives says shows greets passes feeds "
    "pushes appears appear rests leans lean kneels helps sketches draws writes plays sells "
    "follows search inspect check climbs"
)
"""A noun phrase ends before one of these, and none of them is a thing by itself."""

NO_THING = _words(
    "left right way time front middle end background foreground camera frame scene sky ground air side top bottom "
    "distance moment evening morning night day sun rain wind light shadow street road park corner beginning center "
    "centre area place direction north south east west home start goal mission metre metres meters meter minute "
    "minutes second seconds other others one ones same back rest hand hands"
)
"""Nouns that an article may precede and that are still nothing to remember."""

AGE_WORDS = _words("late early mid around about aged years old year-old")
