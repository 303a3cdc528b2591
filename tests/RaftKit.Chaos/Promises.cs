using System.Text.Json;
using RaftKit.TestKit;

namespace RaftKit.Chaos;

/// <summary>
/// What reads with a consistency of their own had to show: those that may be behind by a bound, whatever was acknowledged longer ago than
/// that; those of a session, what it had seen through whichever member. (Linearizable ones are part of the history.)
/// </summary>
internal static class Promises
{
    /// <summary>Reads by what they got, as the library's guarantees are named.</summary>
    public static SortedDictionary<string, int> Count(params string[] files)
    {
        var counts = new SortedDictionary<string, int>(StringComparer.Ordinal);
        foreach (var line in files.SelectMany(File.ReadLines))
        {
            using var read = JsonDocument.Parse(line);
            if (read.RootElement.TryGetProperty("got", out var got))
                counts[got.GetString()!] = counts.GetValueOrDefault(got.GetString()!) + 1;
        }

        return counts;
    }

    /// <summary>The reads that broke theirs.</summary>
    /// <param name="file">The reads of members' own copies.</param>
    /// <param name="history">What the clients did and were told.</param>
    public static IEnumerable<string> Broken(string file, IEnumerable<HistoryOperation> history)
    {
        var acknowledged = history.Where(o => o is { IsRead: false, Status: HistoryStatus.Ok } && o.Zxid != 0).OrderBy(o => o.Return).ToArray();
        var returns = acknowledged.Select(o => o.Return).ToArray();
        var newest = new long[acknowledged.Length];
        for (var n = 0; n < newest.Length; n++)
            newest[n] = Math.Max(acknowledged[n].Zxid, n == 0 ? 0 : newest[n - 1]);

        long NewestBefore(long time)
        {
            var at = Array.BinarySearch(returns, time);
            var before = at < 0 ? ~at : at;
            // Several may have returned at that very moment: none of them counts.
            while (before > 0 && returns[before - 1] >= time)
                before--;
            return before == 0 ? 0 : newest[before - 1];
        }

        foreach (var line in File.ReadLines(file))
        {
            using var document = JsonDocument.Parse(line);
            var read = document.RootElement;
            var zxid = read.TryGetProperty("zxid", out var shown) ? shown.GetInt64() : 0;
            if (read.TryGetProperty("seen", out var seen) && zxid < seen.GetInt64())
                yield return $"a session that had seen {seen.GetInt64():x} was shown {zxid:x}: {line}";
            if (read.TryGetProperty("behind", out var bound)
                && NewestBefore(read.GetProperty("call").GetInt64() - bound.GetInt64()) is var known && zxid < known)
                yield return $"a read that may be {bound.GetInt64() / 1_000_000} ms behind showed {zxid:x}, and {known:x} had been acknowledged before: {line}";
        }
    }
}
