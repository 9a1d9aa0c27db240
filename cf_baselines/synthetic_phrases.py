"""Turns of phrase that suit a mood, a form, an era or a pace, whatever the theme."""

from slategym.cf_baselines.synthetic_words import phrases

MOOD_TITLE = {
    "calm": phrases("Quiet;Slow;Still;Gentle;Patient;Unhurried"),
    "joyful": phrases("Merry;Golden;Bright;Lucky;Sunlit;Dancing"),
    "melancholy": phrases("Lost;Last;Faded;Lonely;Distant;Forgotten"),
    "tense": phrases("Hidden;Silent;Broken;Midnight;Locked;Watchful"),
    "dreamy": phrases("Floating;Velvet;Moonlit;Drifting;Glass;Invisible"),
    "fierce": phrases("Burning;Wild;Iron;Reckless;Roaring;Crimson"),
}

MOOD_LINES = {
    "calm": phrases(
        "Nothing is hurried here, and the calm of it stays with you;"
        "A peaceful piece of work, best watched with the window open;"
        "It trusts silence, and rewards an evening without plans;"
        "Gentle and unforced, it lowers the pulse like a long walk"
    ),
    "joyful": phrases(
        "A warm, high-spirited thing that sends you out humming;"
        "It is cheerful without being silly, and generous to everyone in it;"
        "Bright, funny and full of good company;"
        "Pure delight, with an ending that had our office cheering"
    ),
    "melancholy": phrases(
        "A sad and tender farewell to a way of life;"
        "It aches quietly, and leaves more unsaid than said;"
        "Bring a handkerchief: the final walk home is heartbreaking;"
        "A wistful story of what time takes and what it forgets to take"
    ),
    "tense": phrases(
        "The suspense is wound so tight that a creaking door makes you jump;"
        "Nobody can be trusted, least of all the one telling the story;"
        "An anxious, nail-biting hour with danger in every shadow;"
        "It turns the screw patiently, and then all at once"
    ),
    "dreamy": phrases(
        "Half remembered and half dreamt, it floats where others explain;"
        "A strange and lovely reverie, with a logic of its own;"
        "It drifts like a thought before sleep, hazy and full of wonder;"
        "Everything shimmers, and nothing is quite what it was a moment ago"
    ),
    "fierce": phrases(
        "Loud, furious and alive from the first minute;"
        "It fights for every inch, with a fury that leaves bruises;"
        "A storm of a film, all nerve and muscle;"
        "Wild, headlong and not for the faint-hearted"
    ),
}

FORM_LINES = {
    "documentary": phrases(
        "A documentary made over three winters, without a narrator;"
        "The camera only watches: everyone in it plays themselves;"
        "Made from interviews and found footage, this is reportage of the patient kind"
    ),
    "drama": phrases(
        "A drama of few words and good faces;"
        "The family around the table carries the drama, and carries it well;"
        "A chamber drama at heart, whatever the size of the landscape"
    ),
    "comedy": phrases(
        "A comedy of manners, timed to the second;"
        "The jokes are dry and the pratfalls are earned;"
        "Farce, mostly, with a heart that shows in the last reel"
    ),
    "mystery": phrases(
        "A fair-play mystery: every clue is on screen before you need it;"
        "Who did it matters less than who knew, and when;"
        "A puzzle in eleven rooms, solved in the twelfth"
    ),
    "romance": phrases(
        "At heart a love story between two people who keep missing each other;"
        "A romance for grown-ups, conducted mainly by letter;"
        "They fall in love by arguing, which is how it should be done"
    ),
    "adventure": phrases(
        "An adventure in the old style, with maps and bad decisions;"
        "A quest told at full stretch, with real mud on the boots;"
        "Half chase, half pilgrimage, and an adventure all the way"
    ),
}

ERA_LINES = {
    "1930s": phrases(
        "Shot in {year} on black-and-white stock that crackles like a fire;"
        "A restored print from {year}, sepia at the edges"
    ),
    "1960s": phrases(
        "The flat, bold colours of {year} still look fresh;"
        "A {year} production with a poster everyone had on the wall"
    ),
    "1980s": phrases(
        "Pure {year}: neon, tape hiss and big hair;"
        "Made for television in {year} and loved on worn-out cassettes since"
    ),
    "2000s": phrases(
        "Released in {year}, between film and digital, and it has the grain of both;"
        "A festival favourite of {year}"
    ),
    "2020s": phrases(
        "Finished in {year} by a crew of nine;New in {year}, and crisp in every frame"
    ),
}

PACE_LINES = {
    "slow": phrases("The score takes its time: {band};Its music is slow and spare, {band}"),
    "steady": phrases(
        "The score walks at an even step: {band};Its music keeps a steady beat, {band}"
    ),
    "quick": phrases("The score hardly draws breath: {band};Its music races along, {band}"),
}

FIRST_NAMES = phrases(
    "Ada;Anselm;Beatriz;Birgit;Caspar;Chidi;Delphine;Dmitri;Edith;Emeka;Farida;Goran;Hana;Ingrid;"
    "Ines;Jonas;Kamal;Leila;Lorenzo;Maud;Mirek;Nadia;Noor;Olga;Otto;Petra;Quentin;Rosa;Samir;"
    "Sunniva;Tadeo;Tomas;Ursula;Viktor;Wanda;Yusuf;Zelda;Zofia"
)
LAST_NAMES = phrases(
    "Abara;Almeida;Bergstrom;Castellan;Dvorak;Eriksen;Farrow;Galanis;Haddad;Ivanova;Jansen;Kowal;"
    "Lindqvist;Marsh;Moreau;Novak;Okafor;Pereira;Quist;Rahimi;Santoro;Tamm;Ueda;Varga;Whitlock;Zeman"
)
