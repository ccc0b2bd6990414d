//lint:file-ignore ST1003 releases are named as in Java

package command

import "fmt"

// Versions that peers branch on: ordinals of Java's list of releases.
const (
	V3_0_11 = 37  // from here a registration holds filter servers beside the topics
	V3_4_9  = 121 // from here a request's maxReconsumeTimes wins over the group's
	V4_9_4  = 401 // from here clients read routes in standard JSON
	V5_0_0  = 413 // from here compressed registrations tell the mappings of static topics
	V5_3_1  = 475 // only above this do clients understand GO_AWAY
	V5_5_0  = 513 // the release that Skua announces
)

// VersionName is the name that Java has for a version. Previews of 3.0.0 are all called that.
func VersionName(v int32) string {
	snapshot := ""
	if v%2 == 0 { // comes before its release
		v, snapshot = v+1, "_SNAPSHOT"
	}
	var major, minor, patch int32 = 3, 0, 0
	switch {
	case v < 17:
		return "V3_0_0"
	case v < 47:
		patch = (v - 15) / 2
	case v < 87:
		minor, patch = (v-47)/20+1, (v-47)%20/2
	case v < 213: // without releases .0
		minor, patch = (v-87)/18+3, (v-87)%18/2+1
	case v < 613:
		major, minor, patch = (v-213)/200+4, (v-213)/20%10, (v-213)%20/2
	default:
		return "HIGHER_VERSION"
	}
	return fmt.Sprintf("V%d_%d_%d%s", major, minor, patch, snapshot)
}
