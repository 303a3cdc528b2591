using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>Where a run left the log: the last batch that the next start found.</summary>
/// <param name="Boot">The run.</param>
/// <param name="Batch">The last batch that was still there after it; <see cref="Untold"/> if rot hides its number.</param>
internal readonly record struct RunEnd(long Boot, long Batch)
{
    /// <summary>
    /// Later than any batch that others were told of: rot shows that something was there, so the directory is no old copy for lacking it.
    /// </summary>
    public const long Untold = long.MaxValue;
}

/// <summary>
/// Where each of a member's last runs left its log, oldest first. Whoever was told of a later batch of such a run (every message that
/// promises something names the last one that is synced) knows that the directory is an old copy, however often it was started since.
/// Bounded: a copy that was started more often than that without meeting anybody who knows better is not noticed by this.
/// </summary>
internal sealed class RunEnds(IReadOnlyList<RunEnd> ends) : IEquatable<RunEnds>
{
    public const int Most = 16;

    public static readonly RunEnds None = new([]);

    public IReadOnlyList<RunEnd> Ends => ends;

    /// <summary>Where the run ended; null if that is not known any more.</summary>
    public long? Of(long boot)
    {
        foreach (var end in ends)
        {
            if (end.Boot == boot)
                return end.Batch;
        }
        return null;
    }

    public RunEnds With(RunEnd end) => new([.. ends.TakeLast(Most - 1), end]);

    public void WriteTo(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(ends.Count);
        foreach (var end in ends)
        {
            writer.WriteArrayHeader(2);
            writer.Write(end.Boot);
            writer.Write(end.Batch);
        }
    }

    /// <exception cref="MessagePackSerializationException">This is no such list, or it is longer than one ever is.</exception>
    public static RunEnds Read(ref MessagePackReader reader)
    {
        var count = reader.ReadArrayHeader();
        if (count > Most)
            throw new MessagePackSerializationException($"the ends of {count} runs, of which nobody keeps more than {Most}");
        var read = new RunEnd[count];
        for (var i = 0; i < count; i++)
        {
            reader.ReadArrayHeader(2);
            var (boot, batch) = (reader.ReadInt64(), reader.ReadInt64());
            if (boot < 0 || batch < 0)
                throw new MessagePackSerializationException($"run {boot} that ended with batch {batch}: neither is ever negative");
            read[i] = new RunEnd(boot, batch);
        }
        return new RunEnds(read);
    }

    public bool Equals(RunEnds? other) => other is not null && ends.SequenceEqual(other.Ends);

    public override bool Equals(object? obj) => Equals(obj as RunEnds);

    public override int GetHashCode() => ends.Count == 0 ? 0 : ends[^1].GetHashCode();

    public override string ToString() => string.Join(", ", ends.Select(e => $"{e.Boot}: {e.Batch}"));
}
