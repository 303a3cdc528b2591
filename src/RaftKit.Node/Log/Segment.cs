using System.Globalization;
using RaftKit.Consensus;

namespace RaftKit.Node.Log;

/// <summary>One file of the log. Filled with zeros before its first use, written page by page to its end, deleted as a whole.</summary>
internal sealed class Segment(long number, ILogFile file, int pages) : IDisposable
{
    private const string Suffix = ".log";
    private const string UnfinishedSuffix = ".new";

    // At the least: what has fewer is not ours.
    private const int NameDigits = 12;

    /// <summary>Its number; grows from segment to segment, with gaps where one was never used.</summary>
    public long Number => number;

    public ILogFile File => file;

    /// <summary>How many pages it has room for.</summary>
    public int Pages => pages;

    /// <summary>The first page not yet written.</summary>
    public int NextPage { get; set; }

    /// <summary>
    /// No entry that still counts, in this segment or before it, has a higher index: once a snapshot covers this, it may go.
    /// </summary>
    public LogIndex LastIndex { get; set; }

    public static string NameOf(long number) => number.ToString("D12", CultureInfo.InvariantCulture) + Suffix;

    /// <summary>A segment in the making, not yet filled with zeros to its end; deleted at recovery.</summary>
    public static string UnfinishedNameOf(long number) => number.ToString("D12", CultureInfo.InvariantCulture) + UnfinishedSuffix;

    public static bool TryParse(string name, out long number) => TryParse(name, Suffix, out number);

    public static bool TryParseUnfinished(string name, out long number) => TryParse(name, UnfinishedSuffix, out number);

    public void Dispose() => file.Dispose();

    private static bool TryParse(string name, string suffix, out long number)
    {
        number = 0;
        return name.EndsWith(suffix, StringComparison.Ordinal) && name.Length >= NameDigits + suffix.Length
            && long.TryParse(name.AsSpan(0, name.Length - suffix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out number)
            && number > 0;
    }
}
