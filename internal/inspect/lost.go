package inspect

// LostTopic is the topic of the records that stand where damaged ones were.
const LostTopic = "SKUA_LOST"
