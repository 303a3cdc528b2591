namespace RaftKit.Node.Log;

/// <summary>
/// What is wrong with a segment's pages, when it is to be told and not refused. Neighbours with the same fault are one; beyond a number of
/// them it only counts, so that a rotten disk does not fill the memory.
/// </summary>
internal sealed class SegmentDamage(CancellationToken cancellation)
{
    private const int Most = 64;

    private readonly List<PageDamage> _found = [];

    public CancellationToken Cancellation => cancellation;

    /// <summary>A page of a newer format is told as well, and not refused: nothing is going to be changed.</summary>
    public bool TakesUnknownFormats { get; init; }

    public IReadOnlyList<PageDamage> Found => _found;

    /// <summary>How many more there are than <see cref="Found"/> holds.</summary>
    public int Uncounted { get; private set; }

    public void Add(LogProblemKind kind, int page, string what)
    {
        if (_found is [.., var last] && last.Kind == kind && last.Page + last.Pages == page)
            _found[^1] = last with { Pages = last.Pages + 1 };
        else if (_found.Count < Most)
            _found.Add(new PageDamage(kind, page, 1, what));
        else
            Uncounted++;
    }
}

/// <summary>Neighbouring pages with one fault.</summary>
internal readonly record struct PageDamage(LogProblemKind Kind, int Page, int Pages, string What);
