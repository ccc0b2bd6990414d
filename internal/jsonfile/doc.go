// Package jsonfile keeps what a server knows besides messages, such as its topics, in JSON files in Java's form. It hides how a file
// is replaced in one step, that its previous version is beside it, and that a table which changes often is not written whole
// each time.
//
// A file is read with [Read] and replaced with [Write]. A [File] belongs to an owner who changes it often: of many changes in a row
// the file is written now and then, and those since are in a [Journal] of Skua's own. A [Table] is a File of which the changes and
// their versions are known, so that whoever opens it finds the table as it was.
//
// Crash argument: a new version of a file is written and synced under another name and then takes the place of the old one in one
// step, so that there is a whole file under the name at any time; the copy of the previous one is made before. For changes see File.
package jsonfile
