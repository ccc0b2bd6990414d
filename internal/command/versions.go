//lint:file-ignore ST1003 releases are named as in Java

package command

// Versions that peers branch on: ordinals of Java's list of releases.
const (
	V3_0_11 = 37  // from here a registration holds filter servers beside the topics
	V3_4_9  = 121 // from here a request's maxReconsumeTimes wins over the group's
	V4_9_4  = 401 // from here clients read routes in standard JSON
	V5_0_0  = 413 // from here compressed registrations tell the mappings of static topics
	V5_3_1  = 475 // only above this do clients understand GO_AWAY
	V5_5_0  = 513 // the release that Skua announces
)
