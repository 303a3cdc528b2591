namespace RaftKit.TestKit;

/// <summary>
/// Writes a history, one JSON object a line. Safe for several threads. Lines are buffered until <see cref="Flush"/> or disposal.
/// </summary>
public sealed class HistoryWriter : IDisposable
{
    private readonly Lock _gate = new();
    private readonly TextWriter _writer;

    /// <summary>Writes to a file, replacing it.</summary>
    public HistoryWriter(string file)
        : this(new StreamWriter(file))
    {
    }

    /// <summary>Writes to a writer, which is disposed with this.</summary>
    public HistoryWriter(TextWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        _writer = writer;
    }

    /// <summary>Writes an operation that has ended.</summary>
    public void Write(HistoryOperation operation)
    {
        var line = HistoryFormat.ToLine(operation);
        lock (_gate)
            _writer.WriteLine(line);
    }

    /// <summary>Hands what is buffered to the file.</summary>
    public void Flush()
    {
        lock (_gate)
            _writer.Flush();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
            _writer.Dispose();
    }
}

/// <summary>Reads histories.</summary>
public static class HistoryReader
{
    /// <summary>Reads a file of one JSON object a line.</summary>
    /// <exception cref="FormatException">A line is not an operation; the message has its number.</exception>
    public static IEnumerable<HistoryOperation> Read(string file)
    {
        var number = 0;
        foreach (var line in File.ReadLines(file))
        {
            number++;
            if (string.IsNullOrWhiteSpace(line))
                continue;
            HistoryOperation operation;
            try
            {
                operation = HistoryFormat.FromLine(line);
            }
            catch (Exception failure) when (failure is System.Text.Json.JsonException or InvalidOperationException or FormatException)
            {
                throw new FormatException($"{file}, line {number}: {failure.Message}", failure);
            }
            yield return operation;
        }
    }
}
