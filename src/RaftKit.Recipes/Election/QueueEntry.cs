using System.Globalization;

namespace RaftKit.Recipes.Election;

/// <summary>
/// The name of an entry in an election's queue: the owner's session, a number that is unique in that session, and the sequence number that
/// the tree appended: <c>00a1b2c3d4e5f607-3-0000000042</c>. The first two let a contender find its own entry again when it was never told
/// whether it was created.
/// </summary>
internal readonly record struct QueueEntry(string Name, long Sequence)
{
    private const int SequenceDigits = 10;

    public static string Prefix(long session, long attempt) =>
        string.Create(CultureInfo.InvariantCulture, $"{(ulong)session:x16}-{attempt}-");

    /// <summary>
    /// The queue in its order. Names that are not entries are not in it: somebody else may keep znodes under the same parent.
    /// </summary>
    public static List<QueueEntry> Queue(IReadOnlyList<string> names)
    {
        var queue = new List<QueueEntry>(names.Count);
        foreach (var name in names)
        {
            if (TryParse(name, out var entry))
                queue.Add(entry);
        }

        queue.Sort(static (a, b) => a.Sequence.CompareTo(b.Sequence));
        return queue;
    }

    public static bool TryParse(string name, out QueueEntry entry)
    {
        entry = default;
        var dash = name.LastIndexOf('-');
        if (dash < 0 || name.Length - dash - 1 != SequenceDigits)
            return false;
        if (!long.TryParse(name.AsSpan(dash + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var sequence))
            return false;

        // The parent's counter is 32 bits wide. A name of a counter that ran over would sort before everybody in the queue and
        // give a second grant, so it is no entry; the contender that made it reports it.
        if (sequence > int.MaxValue)
            return false;
        entry = new QueueEntry(name, sequence);
        return true;
    }
}
